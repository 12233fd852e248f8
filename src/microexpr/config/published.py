"""The published numbers of the work that a study replicates, read from TOML (`studies/published/`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field, PlainSerializer, model_validator

from microexpr.config.component import Strict
from microexpr.config.loading import parse, read_toml
from microexpr.core.errors import ConfigError

FOLDER = "published"
"""Folder of `studies/` with the published numbers that come with the package."""
PREPROCESSINGS = ("m1", "m2")
OptionName = Literal[
    "centre crop",
    "face box",
    "face detector",
    "margin around the face, pixels",
    "box beyond the image border",
    "size of M1, pixels",
    "size of M2, pixels",
    "DIS flow: finest pyramid level (halvings)",
    "grey into ImageNet models",
    "MFS: frames out of range and repeats dropped",
    "validation where the protocol has none, share of clips",
    "macro-F1 over classes",
    "protocol",
    "vote",
    "losses tried",
    "weighted cross-entropy normalised by",
    "maximum number of epochs",
    "learning rate",
    "weight decay",
    "batch",
    "patience, epochs",
    "precision",
    "drop-path",
    "dropout",
    "hidden units of the head",
    "frozen stages",
    "initial weights",
    "augmentation",
    "seeds",
    "bootstrap resamples",
    "bootstrap unit",
    "bootstrap intervals",
    "bootstrap stratified by class",
]
"""Settings that a publication may leave open; `report.summary.options` reads their values."""
Practice = Literal["one_seed", "selected_on_test", "imagenet_weights"]


class PublishedImage(Strict):
    """A published preprocessing."""

    model_config = ConfigDict(extra="ignore")

    resolution: int
    colour: str
    face_centred: float | None = None
    values_per_image: int | None = None


class PublishedPhase(Strict):
    """The published score of the best model of a sampling under each preprocessing."""

    phase: str
    model: str
    m1: float | None = None
    m1_ci: tuple[float, float] | None = None
    m2: float | None = None


class PublishedModel(Strict):
    """The published scores of a model by sampling (lower case)."""

    model: str
    scores: dict[str, float]

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, row: object) -> object:
        if not isinstance(row, Mapping) or "scores" in row:
            return row
        return {"model": row.get("model"), "scores": {key: value for key, value in row.items() if key != "model"}}


class PublishedClass(Strict):
    """The published F1 of a class, by "MODEL-PREPROCESSING"."""

    name: str
    scores: dict[str, float]

    @model_validator(mode="before")
    @classmethod
    def _from_toml(cls, row: object) -> object:
        if not isinstance(row, Mapping) or "scores" in row:
            return row
        return {"name": row.get("emotion"), "scores": {key: value for key, value in row.items() if "-" in key}}


class PublishedTime(Strict):
    """A published latency."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(validation_alias=AliasChoices("name", "model"))
    size: int | None = None
    ms: float


class PublishedLatency(Strict):
    """The published latencies."""

    model_config = ConfigDict(extra="ignore")

    gpu: str
    rows: list[PublishedTime] = Field(default_factory=list)


class Disagreement(Strict):
    """An inconsistency in the published numbers."""

    number: int
    place: str
    text: str


class Published(Strict):
    """The published numbers of the work that a study replicates."""

    title: str
    authors: list[str] = Field(default_factory=list)
    names: dict[str, str] = Field(default_factory=dict)
    """Model -> its published name."""
    families: dict[str, str] = Field(default_factory=dict)
    """Prefix of a model's name -> the published model that smaller models of the family are compared with."""
    preprocessing: dict[str, PublishedImage] = Field(default_factory=dict)
    training_frames: dict[str, int] = Field(default_factory=dict)
    """Sampling (lower case) -> number of training frames."""
    phases: list[PublishedPhase] = Field(default_factory=list)
    models: list[PublishedModel] = Field(default_factory=list)
    classes: list[PublishedClass] = Field(default_factory=list)
    loss: dict[str, str] = Field(default_factory=dict)
    """Model -> its selected loss."""
    latency: PublishedLatency | None = None
    options: dict[OptionName, str] = Field(default_factory=dict)
    """Setting that the publication leaves open, or where a study may differ -> what it says about it."""
    practices: Annotated[set[Practice], PlainSerializer(sorted, list[str])] = Field(default_factory=set)
    """What the publication does, of which caveats say that a study does it as well, or not."""
    captions: dict[str, str] = Field(default_factory=dict)
    """Table or figure of the report -> the published one that it corresponds to."""
    other_methods: str = ""
    """Why a published comparison with other methods is left out."""
    model_notes: list[str] = Field(default_factory=list)
    learning_note: str = ""
    disagreements: list[Disagreement] = Field(default_factory=list)

    def name(self, model: str) -> str:
        """Return the published name of a model."""
        return self.names.get(model, model)

    def sibling(self, model: str) -> str | None:
        """Return the published model of the same family: the model itself, or the one that it is compared with."""
        if model in {row.model for row in self.models}:
            return model
        return next((name for family, name in self.families.items() if model.startswith(family)), None)


def load_published(name: str) -> Published:
    """Return published numbers by name (``paper``) or from a TOML file; raises ConfigError.

    Of the file, only what pages show is read: the fields of `Published`, where `table1` holds preprocessing and
    training frames, `table3` the phases, `table4` the models, `table5` the classes, and `training` the loss.
    """
    file, content = read_toml(Path(name), FOLDER)
    table1, training = (_table(content, part) for part in ("table1", "training"))
    renamed = {
        "preprocessing": {name: table1[name] for name in PREPROCESSINGS if name in table1},
        "training_frames": table1.get("training_frames", {}),
        "phases": content.get("table3", []),
        "models": content.get("table4", []),
        "classes": content.get("table5", []),
        "loss": training.get("loss", {}),
    }
    same = Published.model_fields.keys() - renamed.keys()
    found = parse(Published, {key: content[key] for key in content if key in same} | renamed, str(file))
    if found.latency is None:
        return found
    rows = [row.model_copy(update={"name": found.name(row.name)}) for row in found.latency.rows]
    return found.model_copy(update={"latency": found.latency.model_copy(update={"rows": rows})})


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, Mapping):
        raise ConfigError("E102", f"the published numbers are not valid: {name} must be a table.")
    return value
