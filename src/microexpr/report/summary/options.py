"""Settings that a replicated publication leaves open: their values in a study, and whether those are defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass

from pydantic import BaseModel

from microexpr.config.component import Component
from microexpr.config.experiment import FIELDS, Experiment
from microexpr.config.published import OptionName, Published
from microexpr.config.settings import Bootstrap, Training
from microexpr.core import interfaces
from microexpr.report.summary import Option
from microexpr.runs.plan import Plan
from microexpr.runs.study import StudyResult

Value = Callable[[Plan], object]


@dataclass(frozen=True)
class Setting:
    """How a setting is read from a plan: its value, None where the plan has no such setting, and its default."""

    value: Value
    default: Value
    text: Callable[[Plan], str] | None = None
    """Returns the displayed value where the value of the study file says too little."""


def options(result: StudyResult, published: Published | None) -> list[Option]:
    """Return the settings that the publication leaves open, with the values of this study's cells."""
    rows = []
    for name, words in (published.options if published else {}).items():
        setting = SETTINGS[name]
        plans = [cell.plan for cell in result.cells if setting.value(cell.plan) is not None]
        if plans:
            shown = dict.fromkeys(setting.text(plan) if setting.text else _text(setting.value(plan)) for plan in plans)
            default = all(setting.value(plan) == setting.default(plan) for plan in plans)
            rows.append(Option(choice=name, value=", ".join(shown), published=words, default=default))
    return rows


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value) and not isinstance(value, type):
        return str(asdict(value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


# --- how settings are read --------------------------------------------------------------------------------------------
def _built(plan: Plan, part: str) -> object:
    return {"preprocessing": plan.preprocessor, "sampling": plan.sampler, "model": plan.model}[part]


def _default(component: Component, part: str, name: str) -> object:
    """Return the default of a component's parameter; None if it has none."""
    _, value = FIELDS[part].parameters(component.name).get(name, (None, None))
    return None if value is inspect.Parameter.empty else value


def _parameter(part: str, name: str, text: Callable[[Plan], str] | None = None, *, crop: str = "") -> Setting:
    """Read a parameter of a built component; of preprocessings, only of those with this kind of crop."""

    def value(plan: Plan) -> object:
        built = _built(plan, part)
        return getattr(built, name, None) if not crop or getattr(built, "crop", None) == crop else None

    return Setting(value, lambda plan: _default(getattr(plan.experiment, part), part, name), text)


def _field(kind: type[BaseModel], name: str) -> object:
    """Return the default of a setting; None if it must be set."""
    field = kind.model_fields[name]
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _training(name: str, text: Callable[[Plan], str] | None = None) -> Setting:
    """Read a setting of training; None for models that are not trained in epochs."""
    return Setting(
        lambda plan: getattr(plan.experiment.training, name) if plan.model.trains_in_epochs else None,
        lambda plan: _field(Training, name),
        text,
    )


def _bootstrap(name: str) -> Setting:
    return Setting(lambda plan: getattr(plan.experiment.bootstrap, name), lambda plan: _field(Bootstrap, name))


def _experiment(name: str) -> Setting:
    return Setting(lambda plan: _label(getattr(plan.experiment, name)), lambda plan: _label(_field(Experiment, name)))


def _label(value: object) -> object:
    """Return components by their labels, and other values as they are."""
    if isinstance(value, tuple):
        return " or ".join(item.label for item in value)
    return value.label if isinstance(value, Component) else value


def _losses(plan: Plan) -> object:
    return _label(plan.experiment.loss) if plan.model.trains_in_epochs else None


def _reduction(plan: Plan, *, default: bool = False) -> object:
    """Return how the experiment's cross-entropy averages, or would by default; None where it is not tried."""
    if not plan.model.trains_in_epochs:
        return None
    bound = [interfaces.losses.bind(item.name, {} if default else item.params) for item in plan.experiment.loss]
    return " or ".join(dict.fromkeys(params["reduction"] for params in bound if "reduction" in params)) or None


def _precision(plan: Plan) -> str | None:
    """Return the precision in which a network was trained; plans have replaced "auto" by bf16 where it pays."""
    if not plan.model.trains_in_epochs:
        return None
    return "bf16" if plan.experiment.training.precision == "bf16" else "float32"


def _weights(plan: Plan) -> str:
    """Return the initial weights and, for timm's, the data they were trained on, as their tags say."""
    names = plan.weights.get("weights", "")
    # 21k and 22k are two counts of the same classes.
    ends = re.findall(r"\.\w*?_(in2[12]k_ft_in1k|in1k)\b", names)
    twice, once = "pre-trained on ImageNet-21k, fine-tuned on ImageNet-1k", "trained on ImageNet-1k"
    trained = " + ".join(dict.fromkeys(twice if end.startswith("in2") else once for end in ends))
    weights = str(getattr(plan.model, "weights", None))
    return f"{weights} ({plan.model.label}: {trained})" if trained else weights


def _finest(plan: Plan) -> str:
    used, wanted = plan.finest or (0, 0)
    height, width = plan.frame_size
    return str(used) if used == wanted else f"{used} (set to {wanted}; frames of {width}x{height} allow no more)"


SETTINGS: Mapping[OptionName, Setting] = {
    "centre crop": _parameter("preprocessing", "centre", crop="centre"),
    "face box": _parameter("preprocessing", "box", crop="face"),
    "face detector": _parameter("preprocessing", "detector", crop="face"),
    "margin around the face, pixels": _parameter("preprocessing", "margin", crop="face"),
    "box beyond the image border": _parameter("preprocessing", "border", crop="face"),
    "size of M1, pixels": _parameter("preprocessing", "size", crop="centre"),
    "size of M2, pixels": _parameter("preprocessing", "size", crop="face"),
    "DIS flow: finest pyramid level (halvings)": Setting(
        lambda plan: plan.finest and plan.finest[0],
        lambda plan: _default(plan.experiment.representation, "representation", "finest"),
        _finest,
    ),
    "grey into ImageNet models": _parameter("model", "grey"),
    "MFS: frames out of range and repeats dropped": _parameter("sampling", "drop"),
    "validation where the protocol has none, share of clips": _experiment("validation"),
    "macro-F1 over classes": Setting(lambda plan: "present", lambda plan: "present"),
    "protocol": _experiment("protocol"),
    "vote": _experiment("vote"),
    "losses tried": Setting(_losses, lambda plan: _label(_field(Experiment, "loss"))),
    "weighted cross-entropy normalised by": Setting(_reduction, lambda plan: _reduction(plan, default=True)),
    "maximum number of epochs": _training("epochs"),
    "learning rate": _training("learning_rate"),
    "weight decay": _training("weight_decay"),
    "batch": _training("batch"),
    "patience, epochs": _training("patience"),
    "precision": Setting(_precision, _precision),
    "drop-path": _parameter("model", "drop_path"),
    "dropout": _parameter("model", "dropout"),
    "hidden units of the head": _parameter("model", "head_units"),
    "frozen stages": _parameter("model", "frozen_stages"),
    "initial weights": _parameter("model", "weights", _weights),
    "augmentation": _experiment("augmentation"),
    "seeds": _experiment("seed"),
    "bootstrap resamples": _bootstrap("n"),
    "bootstrap unit": _bootstrap("unit"),
    "bootstrap intervals": _bootstrap("method"),
    "bootstrap stratified by class": _bootstrap("stratified"),
}
