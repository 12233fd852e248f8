"""Everything that is registered keeps its contract; a component that is added is tested here without a word.

Digests of what each component gives for a small fixed input stand in ``revisions.json``. One that moves without its
revision being raised fails, because stored results would be taken for those of the new output. After raising it::

    MICROEXPR_REVISIONS=write .venv/bin/python -m pytest tests/components/test_conformance.py
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from torch import nn

import microexpr.components
from conftest import TESTS
from example_databases import write_example
from microexpr.core import interfaces
from microexpr.core.clip import ActionUnit, Clip
from microexpr.core.errors import ConfigError, DataError, NoFaceError, WeightsError
from microexpr.core.interfaces import REGISTRIES, Batch, Dataset, Frames, Output, ViewSpec
from nets import still
from small_inputs import FRAMES, LARGE, PICTURES, SMALL, VIEWS

REVISIONS = TESTS / "revisions.json"
EVERYTHING = [(folder, name) for folder, registry in REGISTRIES.items() for name in registry.names()]
PROTOCOLS: Mapping[str, type] = {
    "datasets": Dataset,
    "detection": interfaces.Detector,
    "preprocessing": interfaces.Preprocessor,
    "sampling": interfaces.Sampler,
    "representation": interfaces.Representation,
    "augmentation": interfaces.Augmentation,
    "targets": interfaces.Target,
    "models": interfaces.ModelFn,
    "losses": interfaces.LossFn,
    "voting": interfaces.Vote,
    "protocols": interfaces.EvalProtocol,
    "metrics": interfaces.Metric,
    "explainers": interfaces.Explainer,
    "launchers": interfaces.Launcher,
}
K = 3
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "protocols/cross_database": {"train": ("d",), "test": ("e",)},
    "protocols/from_file": {"file": str(TESTS / "folds.json")},
}
"""Parameters that have no default: names and files that somebody must choose."""


def names(folder: str, *, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in REGISTRIES[folder].names() if name not in without])


def build(folder: str, name: str) -> Any:
    """Build a component with its defaults, but small pictures."""
    small: Mapping[str, Any] = SMALL.get(name, {}) if folder == "models" else {}
    if folder in ("preprocessing", "representation") and "size" in REGISTRIES[folder].parameters(name):
        small = {"size": 32}
    return REGISTRIES[folder].build(name, {**NEEDED.get(f"{folder}/{name}", {}), **small})


# --- all of them ------------------------------------------------------------------------------------------------------
def test_every_registry_has_its_contract():
    assert set(PROTOCOLS) == set(REGISTRIES)


@pytest.mark.parametrize(("folder", "name"), EVERYTHING)
def test_a_component_builds_with_its_defaults_and_is_what_its_registry_promises(folder, name):
    registry = REGISTRIES[folder]
    factory = registry.get(name)
    doc = inspect.getdoc(factory) or ""
    assert len(doc.splitlines()[0]) > 20, f"{folder}/{name} says nothing of itself"
    assert not doc.startswith(f"{getattr(factory, '__name__', '')}("), (
        f"{folder}/{name} has a dataclass's own docstring"
    )
    assert registry.revision(name) >= 1
    if folder == "datasets":
        assert issubclass(factory, Dataset)
        assert not inspect.isabstract(factory)
        assert all((factory.info.title, factory.info.licence, factory.info.access))
        return
    needed = NEEDED.get(f"{folder}/{name}", {})
    component = registry.build(name, needed)
    assert isinstance(component, PROTOCOLS[folder])
    assert dataclasses.is_dataclass(component)
    assert type(component).__dataclass_params__.frozen
    assert component == registry.build(name, needed)
    if inspect.isclass(factory):
        # No inheritance between components.
        assert factory.__mro__[1:] == (object,)


COMPONENTS = Path(microexpr.components.__file__).parent
MODULES = [file for file in sorted(COMPONENTS.rglob("*.py")) if file.name != "__init__.py"]


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.relative_to(COMPONENTS).as_posix())
def test_a_component_imports_core_and_private_modules_of_its_own_folder(file):
    kind, *inner = file.relative_to(COMPONENTS).with_suffix("").parts
    own = f"microexpr.components.{kind}."
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:  # `from .spec import ...`, inside a package of its own
            assert len(inner) > 1, f"{file}: line {node.lineno} imports relatively"
            continue
        imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in imported:
            allowed = not name.startswith("microexpr") or name.startswith(("microexpr.core", f"{own}_"))
            assert allowed, f"{file}: line {node.lineno} imports {name}"


# --- data -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """The example of every database, written when it is first asked for."""
    written: dict[str, Path] = {}

    def example(name: str) -> Dataset:
        if name not in written:
            root = tmp_path_factory.mktemp(name)
            write_example(name, root)
            written[name] = root
        return interfaces.datasets.get(name)(written[name])

    return example


@names("datasets")
def test_a_reader_finds_no_fault_with_its_own_example(name, examples):
    reader = examples(name)
    assert list(map(str, reader.faults())) == []
    clips = reader.clips()
    assert len({clip.key for clip in clips}) == len(clips) > 2
    assert len({clip.subject for clip in clips}) > 1
    assert {clip.emotion for clip in clips} <= set(reader.emotions.values())
    modality, kind = next(iter(reader.modalities().items()))
    for clip in clips[:2]:
        assert clip.apex is None or clip.onset <= clip.apex <= clip.offset
        pixels = reader.frames(clip, [clip.onset, clip.offset], modality)
        assert pixels.shape[::3] == (2, len(kind.channels))
        assert pixels.min() >= kind.low
        assert pixels.max() <= kind.high
    assert reader.metadata()
    assert len(reader.fingerprint()) == 64
    assert type(reader)(reader._root).fingerprint() == reader.fingerprint()
    with pytest.raises(DataError):
        reader.frames(clips[0], [10**6], modality)
    with pytest.raises(DataError, match=modality):
        reader.frames(clips[0], [clips[0].onset], "no such modality")


# --- from frames to model input ---------------------------------------------------------------------------------------
def clip(onset: int | None = 1, apex: int | None = 5, offset: int | None = 9) -> Clip:
    return Clip(dataset="d", subject_id="1", namespace="d", video="v", fps=200.0, onset=onset, apex=apex, offset=offset)


@dataclass
class Scene:
    """Frames that differ, and a face that moves; it counts what it is asked for."""

    clip: Clip = field(default_factory=clip)
    channels: tuple[str, ...] = ("r", "g", "b")
    faces: bool = True

    def pixels(self, numbers):
        y, x = np.mgrid[:60, :80]
        waves = [
            np.stack([128 + 90 * np.sin((x * (c + 1) + y * 2 + 11 * n) / 13) for c in range(len(self.channels))], -1)
            for n in numbers
        ]
        return np.array(waves).round().astype(np.uint8)

    def boxes(self, numbers, detector):
        if not self.faces:
            raise NoFaceError("E203", "none")
        return np.array([(20 + n % 3, 10, 52 + n % 3, 44) for n in numbers], float)


def test_the_scene_is_what_preprocessors_are_handed():
    assert isinstance(Scene(), interfaces.ClipFrames)


@names("preprocessing")
@pytest.mark.parametrize("channels", [("r", "g", "b"), ("grey",)])
def test_preprocessing_keeps_time_and_says_what_it_shows(name, channels):
    preprocessor, scene = build("preprocessing", name), Scene(channels=channels)
    frames = preprocessor(scene, [1, 4, 5, 9])
    assert frames.pixels.shape[0] == len(frames.window) == 4
    assert frames.pixels.shape[3] == len(frames.channels)
    assert frames.window.shape == (4, 4)
    assert (frames.window[:, 2:] > frames.window[:, :2]).all()
    for row, number in enumerate([1, 4, 5, 9]):
        alone = preprocessor(Scene(channels=channels), [number])
        assert np.array_equal(alone.pixels[0], frames.pixels[row])
        assert np.array_equal(alone.window[0], frames.window[row])
    turned = preprocessor(scene, [9, 1, 1])
    assert np.array_equal(turned.pixels, frames.pixels[[3, 0, 0]])
    assert isinstance(preprocessor.requires_uncropped, bool)


CLIPS = [clip(*times) for times in ((1, 5, 9), (40, 62, 97), (3, 3, 20), (3, 20, 20), (5, 6, 7), (5, 6, 6), (8, 8, 8))]
READY = clip(None, None, None)
CODED = [dataclasses.replace(CLIPS[0], action_units=(ActionUnit(4), ActionUnit(12, "L"))), CLIPS[1]]


@names("sampling")
def test_samplers_show_frames_of_the_clip(name):
    sampler, taken = build("sampling", name), 0
    stated: list[tuple[str, str]] = []
    for each in (*CLIPS, READY):
        try:
            views = sampler(each)
        except DataError as error:
            stated.append((each.key, str(error)))
            continue
        taken += 1
        inside = range(each.onset, each.offset + 1) if each.onset is not None else (0,)
        assert 1 <= len(views) <= sampler.nominal
        assert len({len(view) for view in views}) == 1
        assert all(type(number) is int and number in inside for view in views for number in view)
        assert list(sampler(each)) == list(views)
    assert taken
    assert all(key in message for key, message in stated)


@names("representation")
@pytest.mark.parametrize("channels", [("r", "g", "b"), ("grey",)])
def test_representations_give_the_channels_they_promise(name, channels):
    representation, scene = build("representation", name), Scene(channels=channels)
    numbers = (1, 5, 9)
    view = Frames(scene.pixels(numbers), channels, np.tile([0.0, 0, 80, 60], (3, 1)))
    before = view.pixels.copy()
    shown = representation(view, numbers, scene.clip)
    given = representation.output_spec(interfaces.Modality(channels))
    assert shown.ndim == 4
    assert shown.shape[3] == len(given.channels)
    assert np.isfinite(shown).all()
    assert given.low <= shown.min()
    assert shown.max() <= given.high
    assert np.array_equal(representation(view, numbers, scene.clip), shown)
    assert np.array_equal(view.pixels, before)
    assert isinstance(representation.cached, bool)


@names("representation")
def test_representations_take_what_they_say(name):
    """The least number of frames is enough, and views of any length become alike only where that is promised."""
    representation, scene = build("representation", name), Scene()
    min_frames = representation.min_frames
    lengths = {count: tuple(range(1, 1 + count)) for count in (min_frames, min_frames + 1, 9)}
    shapes = {
        representation(Frames(scene.pixels(numbers), scene.channels, np.zeros((count, 4))), numbers, scene.clip).shape
        for count, numbers in lengths.items()
    }
    assert (len(shapes) == 1) == representation.fixed_length


def face_picture():
    from microexpr.components.datasets.synthetic import SyntheticSpec, face, plan, render

    spec = SyntheticSpec(subjects=1, clips=1)
    (planned,) = plan(spec)
    return render(face(spec, planned.subject), planned, planned.onset)


@names("detection")
def test_detectors_find_a_face_and_none_where_there_is_none(name):
    detector = build("detection", name)
    picture = face_picture()
    boxes = detector(picture)
    assert boxes.shape == (1, 4)
    x0, y0, x1, y1 = boxes[0]
    assert 0 <= x0 < 320 < x1 <= 640
    assert 0 <= y0 < 240 < y1 <= 480
    assert detector(picture[..., :1]).shape[1] == 4
    assert detector(np.full((120, 160, 3), 128, np.uint8)).shape == (0, 4)


# --- learning ---------------------------------------------------------------------------------------------------------
def small_model(name: str, view: ViewSpec, aux: Mapping[str, int] | None = None) -> Any:
    model = interfaces.models.build(name, SMALL.get(name, {}))
    assert "weights" in model.check(view)
    torch.manual_seed(0)
    return model(view, K, aux or {})


def view_of(name: str, channels: tuple[str, ...]) -> ViewSpec:
    return ViewSpec((FRAMES.get(name, 1), 64, 64, len(channels)), channels)


def pictures(channels: int, rows: int = 6, frames: int = 1) -> torch.Tensor:
    generator = np.random.default_rng(0)
    flat = generator.uniform(0, 255, (rows, frames, channels, 64, 64)).round()
    flat[::2] = flat[::2] / 3 + np.linspace(0, 120, 64)
    return torch.as_tensor(flat, dtype=torch.float32)


def rows_of(x: torch.Tensor) -> np.ndarray:
    return x.movedim(2, -1).reshape(len(x), -1).numpy()


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        (name, channels)
        for name in interfaces.models.names()
        if name not in LARGE
        for channels in VIEWS.get(name, PICTURES)
    ],
)
def test_models_classify_and_can_learn(name, channels):
    view, y = view_of(name, channels), torch.tensor([0, 1, 2, 0, 1, 2])
    model, x = small_model(name, view), pictures(len(channels), frames=view.shape[0])
    once = isinstance(model, BaseEstimator | interfaces.FrozenBackbone)
    assert interfaces.models.build(name, {}).trains_in_epochs == (not once)
    if isinstance(model, BaseEstimator):
        proba = model.fit(rows_of(x), y.numpy()).predict_proba(rows_of(x))
        assert proba.shape == (6, K)
        np.testing.assert_allclose(proba.sum(1), 1)
        return
    if isinstance(model, interfaces.FrozenBackbone):
        model.eval().fit_head(model.embed(x), y.numpy())
        torch.testing.assert_close(model(x).logits, model.classify(model.embed(x)).logits)
        assert model(x).logits.argmax(1).tolist() == y.tolist()
        return
    output = model.train()(x)
    assert isinstance(output, Output)
    assert output.logits.shape == (6, K)
    assert not output.aux
    nn.functional.cross_entropy(output.logits, y).backward()
    assert set(still(model)) <= {name for name, value in model.named_parameters() if not value.requires_grad}
    with torch.inference_mode():
        one, all_ = model.eval()(x[:1]).logits, model(x).logits
    torch.testing.assert_close(one, all_[:1], rtol=1e-3, atol=1e-4)
    assert (all_[0] - all_[1]).abs().max() > 0


@names("models", without=LARGE)
def test_whatever_trains_in_epochs_can_learn_targets(name):
    view = view_of(name, VIEWS.get(name, PICTURES)[0])
    if not interfaces.models.build(name, {}).trains_in_epochs:
        with pytest.raises(ConfigError, match=f"{name} has no auxiliary outputs"):
            small_model(name, view, {"action_units": 2})
        return
    alone, both = small_model(name, view), small_model(name, view, {"action_units": 2})
    x = pictures(view.shape[3], frames=view.shape[0])
    with torch.inference_mode():
        torch.testing.assert_close(both.eval()(x).logits, alone.eval()(x).logits)
    output = both.train()(x)
    assert output.aux["action_units"].shape == (6, 2)
    output.aux["action_units"].sum().backward()
    heads = {path for path, each in both.named_parameters() if each.grad is not None} - set(alone.state_dict())
    assert len(heads) == 2


@names("targets")
def test_targets_are_shares_and_as_many_whatever_the_clips(name):
    target = build("targets", name)
    values, words = target(CLIPS)
    assert values.shape == (len(CLIPS), len(words))
    assert target.weight > 0
    assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    alone, again = target(CLIPS[:1])
    assert again == words
    np.testing.assert_array_equal(alone, values[:1])


@pytest.mark.parametrize("name", LARGE)
def test_large_models_ask_for_their_weights_before_they_are_built(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path))
    view = ViewSpec((1, 224, 224, 3), ("r", "g", "b"))
    with pytest.raises(WeightsError, match="microexpr weights fetch"):
        interfaces.models.build(name, {}).check(view)
    assert interfaces.models.build(name, {"weights": "random"}).check(view) == {"weights": "random"}


LOGITS = [[2.0, -1.0, 0.5], [0.1, 0.2, -0.3], [-4.0, 5.0, 1.0], [0.0, 0.0, 0.0]]
COUNTS = torch.tensor([10.0, 30.0, 0.0])


def lose(name: str, logits: torch.Tensor, labels: list[int]) -> torch.Tensor:
    y = nn.functional.one_hot(torch.tensor(labels), K).float()
    result = build("losses", name)(Output(logits, {}), Batch(torch.empty(len(labels), 0), y, {}), COUNTS)
    assert isinstance(result, torch.Tensor)
    return result


@pytest.mark.numeric
@names("losses")
def test_losses_give_one_value_a_row_and_a_finite_gradient(name):
    logits = torch.tensor([*LOGITS, [80.0, -80.0, 0.0], [-80.0, 80.0, 0.0]], requires_grad=True)
    loss = lose(name, logits, [0, 1, 1, 0, 0, 0])
    assert loss.shape == (6,)
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()
    assert loss[4] < 1e-6 < 1 < loss[5]
    loss.mean().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[5].abs().sum() > 0
    # A row's loss is its own: folds can be trained together and batches cut anywhere.
    torch.testing.assert_close(lose(name, logits[1:2], [1])[0], loss[1], rtol=1e-6, atol=1e-6)
    step = (logits - 0.1 * logits.grad).detach()
    assert lose(name, step, [0, 1, 1, 0, 0, 0]).mean() < loss.mean()


def views_of_a_clip() -> pd.DataFrame:
    proba = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4]])
    columns = {f"p_{c}": proba[:, c] for c in range(K)}
    return pd.DataFrame({"frames": [[n] for n in (3, 1, 4, 5, 9)], **columns})


@names("voting")
def test_votes_do_not_depend_on_the_order_of_the_views(name):
    vote, views = build("voting", name), views_of_a_clip()
    label, proba = vote(views)
    assert isinstance(label, int)
    assert proba.shape == (K,)
    assert math.isclose(proba.sum(), 1)
    for seed in range(10):
        other, again = vote(views.sample(frac=1, random_state=seed))
        assert other == label
        assert np.array_equal(again, proba)
    for row in range(len(views)):
        alone, own = vote(views.iloc[[row]])
        assert alone == own.argmax() == views.iloc[row][["p_0", "p_1", "p_2"]].to_numpy(float).argmax()


# --- evaluation -------------------------------------------------------------------------------------------------------
def clip_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(K), rng.choice(K, 77, p=[0.6, 0.3, 0.1])])
    subjects = [f"d/{n:02d}" for n in rng.integers(0, 8, 80)]
    words = np.array(["others", "disgust", "fear"])[labels]
    keys = [f"d/{n}" for n in range(80)]
    # Two subjects are in both databases.
    databases = np.where([who in ("d/00", "d/01", "d/02") for who in subjects], "d", "e")
    databases[[subjects.index(who) for who in ("d/03", "d/04")]] = "d"
    columns = {"key": keys, "dataset": databases, "subject": subjects, "label": labels, "emotion": words}
    return pd.DataFrame(columns)


@names("protocols")
def test_protocols_never_train_on_what_they_test(name):
    protocol, table = build("protocols", name), clip_table()
    folds = list(protocol(table, np.random.default_rng(1)))
    assert len({fold.name for fold in folds}) == len(folds) > 0
    tested = Counter((fold.repeat, row) for fold in folds for row in fold.test.tolist())
    assert max(tested.values()) == 1
    assert {row for _, row in tested} <= set(range(len(table)))
    subject = table["subject"].to_numpy()
    for fold in folds:
        assert fold.name == Path(fold.name).name
        parts = [fold.train, fold.test, *([] if fold.val is None else [fold.val])]
        assert len(set(np.concatenate(parts).tolist())) == sum(map(len, parts))
        assert all(map(len, parts))
        if protocol.subject_independent:
            groups = [set(subject[rows]) for rows in parts]
            assert not groups[1] & (groups[0] | set().union(*groups[2:]))
    again = list(protocol(table, np.random.default_rng(1)))
    assert [fold.test.tolist() for fold in again] == [fold.test.tolist() for fold in folds]


def predicted() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y_true, proba = rng.choice(K, 60, p=[0.5, 0.4, 0.1]), rng.dirichlet(np.ones(K), 60)
    return y_true, proba.argmax(1), proba, np.ones(K, bool)


@names("metrics")
def test_metrics_are_shares_and_one_for_what_is_perfect(name):
    metric = build("metrics", name)
    y_true, y_pred, proba, over = predicted()
    found = metric(y_true, y_pred, proba, over)
    assert isinstance(found, float)
    assert 0 < found < 1
    assert metric(y_true, y_true, np.eye(K)[y_true], over) == metric.higher_is_better
    assert metric(y_true, (y_true + 1) % K, np.eye(K)[(y_true + 1) % K], over) == (not metric.higher_is_better)
    order = np.random.default_rng(1).permutation(60)
    assert metric(y_true[order], y_pred[order], proba[order], over) == found
    assert len(metric.absent_classes) > 20
    assert metric.title
    assert metric.title == metric.title.strip()
    if isinstance(metric, interfaces.ConfusionMetric):
        matrix = np.zeros((K, K), int)
        np.add.at(matrix, (y_true, y_pred), 1)
        assert metric.of_confusion(np.stack([matrix, matrix]), over).tolist() == [found, found]


# --- revisions --------------------------------------------------------------------------------------------------------
def rounded(value: Any) -> Any:
    """Write an output so that another processor's rounding does not move it: large arrays by shape and a few sums."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        if value.size <= 16:
            return rounded(value.tolist())
        weights = np.cos(np.arange(value.size)).reshape(value.shape)
        return [list(value.shape), *map(rounded, (float(np.abs(value).mean()), float((value * weights).mean())))]
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return rounded(value.astype(float))
    if isinstance(value, float):
        return 0.0 if value == 0 else float(f"{value:.3g}")
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, tuple | list) else value


def _dataset(name: str, examples: Callable[[str], Dataset]) -> Any:
    reader = examples(name)
    first = reader.clips()[0]
    pixels = reader.frames(first, [first.onset], next(iter(reader.modalities())))
    clips = [(c.key, c.subject, c.apex, c.fps, c.emotion, "+".join(map(str, c.action_units))) for c in reader.clips()]
    return clips, pixels.shape, f"{pixels.mean():.2g}"


def _sampled(name: str, sampler: interfaces.Sampler) -> Any:
    shown = []
    for each in (*CLIPS, READY):
        try:
            shown.append([list(view) for view in sampler(each)])
        except DataError:
            shown.append([])
    return shown


def _preprocessed(name: str, preprocessor: interfaces.Preprocessor) -> Any:
    frames = preprocessor(Scene(), [1, 4, 9])
    return frames.pixels, list(frames.channels), frames.window


def _represented(name: str, representation: interfaces.Representation) -> Any:
    scene, numbers = Scene(), (1, 5, 9)
    return representation(Frames(scene.pixels(numbers), scene.channels, np.zeros((3, 4))), numbers, scene.clip)


def _augmented(name: str, augmentation: interfaces.Augmentation) -> Any:
    batch = Batch(pictures(3), torch.eye(K)[[0, 1, 2, 0, 1, 2]], {})
    channels, scaling = (("u", "v", "strain"), "minmax") if name == "reverse" else (("r", "g", "b"), "")
    view = ViewSpec((2, 64, 64, 3), channels, scaling=scaling)
    changed = augmentation(batch, view, torch.Generator().manual_seed(0))
    return changed.x, changed.y


def _modelled(name: str, model: interfaces.ModelFn) -> Any:
    channels = VIEWS.get(name, PICTURES)[0]
    view = view_of(name, channels)
    if name in LARGE:
        # Their numbers need weights that tests do not have, so that only their layout can be held to.
        with torch.device("meta"):
            net = interfaces.models.build(name, {"weights": "random"})(ViewSpec((1, 224, 224, 3), view.channels), K, {})
        return {key: list(value.shape) for key, value in net.state_dict().items()}
    built, x = small_model(name, view), pictures(len(channels), frames=view.shape[0])
    if isinstance(built, interfaces.FrozenBackbone):
        return built.eval().embed(x)
    if isinstance(built, nn.Module):
        with torch.inference_mode():
            # The layout tells more than numbers that start at random; both together tell what a training starts from.
            return {key: list(value.shape) for key, value in built.state_dict().items()}, built.eval()(x).logits
    return built.fit(rows_of(x), np.array([0, 1, 1, 0, 1, 2])).predict_proba(rows_of(x))


def _explained(name: str, explainer: interfaces.Explainer) -> Any:
    view = view_of("", ("r", "g", "b"))
    model = small_model("vit_nano" if name == "attention_rollout" else "small_cnn", view).eval()
    if name == "occlusion":  # the scores of an untrained network hardly change, and small changes are mostly rounding
        for weights in (each for each in model.parameters() if each.ndim == 4):
            weights.data.mul_(5)
        looked = explainer(model, pictures(3, rows=2), np.array([0, 1]), view)
        return looked.maps[..., ::16, ::16], list(looked.places)  # blocks of equal values
    looked = explainer(model, pictures(3, rows=2), np.array([0, 1]), view)
    return looked.maps, list(looked.places)


def _split(name: str, protocol: interfaces.EvalProtocol) -> Any:
    folds = protocol(clip_table(), np.random.default_rng(1))
    return [(fold.name, fold.train, fold.test, fold.val) for fold in folds]


OUTPUTS: Mapping[str, Callable[[str, Any], Any]] = {
    "detection": lambda name, detector: detector(face_picture()),
    "preprocessing": _preprocessed,
    "sampling": _sampled,
    "representation": _represented,
    "augmentation": _augmented,
    "targets": lambda name, target: target(CODED),
    "models": _modelled,
    "losses": lambda name, loss: lose(name, torch.tensor(LOGITS), [0, 1, 0, 1]),
    "voting": lambda name, vote: vote(views_of_a_clip()),
    "protocols": _split,
    "explainers": _explained,
    "metrics": lambda name, metric: metric(*predicted()),
}


def output_digest(folder: str, name: str, examples: Callable[[str], Dataset]) -> str:
    found = _dataset(name, examples) if folder == "datasets" else OUTPUTS[folder](name, build(folder, name))
    return hashlib.sha256(json.dumps(rounded(found), sort_keys=True).encode()).hexdigest()[:16]


def verdict(place: str, revision: int, digest: str, noted: Mapping[str, Any] | None) -> str | None:
    """Return what is wrong with a component's revision, judged by the digest that stands in revisions.json."""
    how = "`MICROEXPR_REVISIONS=write .venv/bin/python -m pytest tests/components/test_conformance.py`"
    if noted is None:
        return f"{place} has no digest yet. Note it with {how}, and commit tests/revisions.json."
    if digest == noted["digest"] and revision == noted["revision"]:
        return None
    if revision > noted["revision"]:
        return f"{place} has a new revision. Note its digest with {how}, and commit tests/revisions.json."
    if revision < noted["revision"]:
        return f"{place}: revision {revision} is below {noted['revision']}, which results were stored with already."
    return (
        f"{place} gives another output than revision {revision} gave. If that is meant, raise its revision where it is "
        f"registered (register({place.split('/')[1]!r}, revision={revision + 1})), so that stored results are not "
        f"taken for those of the new output; then {how}. If it is not meant, it is a bug."
    )


@pytest.mark.parametrize(("folder", "name"), [each for each in EVERYTHING if each[0] != "launchers"])
def test_an_output_that_moves_needs_a_new_revision(folder, name, examples):
    noted: dict[str, Any] = json.loads(REVISIONS.read_text("utf-8")) if REVISIONS.exists() else {}
    place, revision = f"{folder}/{name}", REGISTRIES[folder].revision(name)
    digest = output_digest(folder, name, examples)
    before = noted.get(place)
    # Writing is no way around: a digest that moved is noted only with a revision that was raised.
    if os.environ.get("MICROEXPR_REVISIONS") == "write" and (before is None or revision > before["revision"]):
        noted[place] = {"revision": revision, "digest": digest}
        REVISIONS.write_text(json.dumps(dict(sorted(noted.items())), indent=1) + "\n", "utf-8")
    problem = verdict(place, revision, digest, noted.get(place))
    assert not problem, problem


def test_revisions_names_nothing_that_is_gone():
    noted = json.loads(REVISIONS.read_text("utf-8"))
    assert set(noted) <= {f"{folder}/{name}" for folder, name in EVERYTHING}


@pytest.mark.parametrize(
    ("revision", "digest", "words"),
    [
        (1, "b", "raise its revision where it is registered (register('x', revision=2))"),
        (2, "b", "Note its digest"),
        (2, "a", "Note its digest"),
        (0, "a", "is below 1"),
    ],
)
def test_what_the_verdict_says(revision, digest, words):
    noted = {"revision": 1, "digest": "a"}
    assert words in str(verdict("models/x", revision, digest, noted))
    assert verdict("models/x", 1, "a", noted) is None
    assert "no digest yet" in str(verdict("models/x", 1, "a", None))
