"""All contracts of the house and their registries: READ THIS FIRST.

Data moves one way::

    Dataset -> Preprocessor -> Sampler -> Representation -> Augmentation -> Model -> Vote
            -> EvalProtocol -> Metric -> statistics -> report

Whoever adds a component writes one file in its folder and registers a factory there, usually a frozen dataclass
with ``__call__``; its named parameters become the parameters of study files. Arrays are ``t h w c`` before the
model and ``b t c h w`` in it. Frames are numbered as the database numbers them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar, runtime_checkable

from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.registry import Registry
from microexpr.core.types import AddedLater as AddedLater
from microexpr.core.types import Attribution as Attribution
from microexpr.core.types import Batch as Batch
from microexpr.core.types import ByContent as ByContent
from microexpr.core.types import Correction as Correction
from microexpr.core.types import DatasetInfo as DatasetInfo
from microexpr.core.types import Fold as Fold
from microexpr.core.types import Frames as Frames
from microexpr.core.types import Interval as Interval
from microexpr.core.types import Modality as Modality
from microexpr.core.types import Output as Output
from microexpr.core.types import Scaling as Scaling
from microexpr.core.types import Spotting as Spotting
from microexpr.core.types import View as View
from microexpr.core.types import ViewSpec as ViewSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from jaxtyping import Bool, Float, Int, Num, UInt8
    from sklearn.base import BaseEstimator
    from torch import Tensor, nn

    Predictor: TypeAlias = nn.Module | BaseEstimator

J = TypeVar("J")
R = TypeVar("R")


# --- data -------------------------------------------------------------------------------------------------------------
@runtime_checkable
class Recordings(Protocol):
    """What an experiment reads: one database, or several joined. What each of these returns stands in `Dataset`."""

    def modalities(self) -> Mapping[str, Modality]: ...
    def clips(self) -> Sequence[Clip]: ...
    def faults(self, *, table_only: bool = False) -> Sequence[Fault]: ...
    def notes(self, *, table_only: bool = False) -> Sequence[Fault]: ...
    def cropped(self) -> bool: ...
    def metadata(self) -> Mapping[str, str]: ...
    def applied(self) -> Sequence[Correction]: ...
    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]: ...
    def fingerprint(self) -> str: ...


class Dataset(ABC):
    """One database on disk, read as its owners ship it. Reading changes nothing and raises DataError."""

    info: ClassVar[DatasetInfo]
    emotions: ClassVar[Mapping[str, str]]
    corrections: ClassVar[tuple[Correction, ...]] = ()

    @abstractmethod
    def __init__(self, root: Path) -> None: ...

    @abstractmethod
    def modalities(self) -> Mapping[str, Modality]:
        """Return what is recorded, the default first."""

    @abstractmethod
    def clips(self) -> Sequence[Clip]:
        """Return every annotated expression that the table allows to be read, in the table's order."""

    @abstractmethod
    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return everything wrong with table and folder, all at once; `table_only` looks at no picture."""

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return what is unusual and no fault: no apex coded, over 500 ms, frames or folders that no row names."""
        return ()

    def cropped(self) -> bool:
        """Whether the frames are faces that the owners have cut out."""
        return False

    @abstractmethod
    def metadata(self) -> Mapping[str, str]:
        """Return what results must state of this copy: label version, folder, whether it is synthetic ..."""

    def applied(self) -> Sequence[Correction]:
        """Return the corrections that this copy needed."""
        return ()

    @abstractmethod
    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        """Return frames by number; raises FrameError naming the file."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 of the table's bytes and of the file names and sizes."""


# --- from frames to model input ---------------------------------------------------------------------------------------
@runtime_checkable
class Detector(Protocol):
    """Find faces: boxes (x0, y0, x1, y1) in pixels, the best first."""

    def __call__(self, frame: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 4"]: ...


@runtime_checkable
class ClipFrames(Protocol):
    """What a preprocessor sees of a clip, read only when asked for."""

    clip: Clip

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the modality's channels."""

    def pixels(self, numbers: Sequence[int]) -> Num[np.ndarray, "t h w c"]:
        """Return source frames by number."""

    def boxes(self, numbers: Sequence[int], detector: str) -> Float[np.ndarray, "t 4"]:
        """Return the best face box of each frame, detected once per frame and detector; raises NoFaceError."""


@runtime_checkable
class Preprocessor(Protocol):
    """Change pixels, never time: frame n never depends on which numbers were asked for."""

    @property
    def requires_uncropped(self) -> bool:
        """Whether frames that somebody has cropped already would make it meaningless."""

    def __call__(self, frames: ClipFrames, numbers: Sequence[int]) -> Frames: ...


@runtime_checkable
class Sampler(Protocol):
    """Choose the views of a clip."""

    @property
    def uses_annotations(self) -> bool:
        """Whether the times that coders marked decide which frames are seen, in test clips too."""

    @property
    def nominal(self) -> int:
        """Views a clip gives at most."""

    def __call__(self, clip: Clip) -> Sequence[View]: ...


@runtime_checkable
class Representation(Protocol):
    """Turn one view into what the model eats."""

    @property
    def cached(self) -> bool:
        """Whether it is dear, and computed once for all runs."""

    @property
    def min_frames(self) -> int:
        """Frames that a view must have at least."""

    @property
    def fixed_length(self) -> bool:
        """Whether views of different lengths become alike."""

    def output_spec(self, incoming: Modality) -> Modality:
        """Return what its pictures hold; raises ConfigError for channels that it cannot take."""

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Num[np.ndarray, "t2 h2 w2 c2"]: ...


@runtime_checkable
class Augmentation(Protocol):
    """Change training batches, never those of validation or test."""

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for channels that it cannot change; asked before anything is trained."""

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch: ...


@runtime_checkable
class Target(Protocol):
    """Make auxiliary labels of clips (action units, say): values in 0..1, NaN where nobody coded them; and their names.

    How many there are must not depend on the clips. A network learns them beside the class, through a head of its own.
    """

    @property
    def weight(self) -> float:
        """How much its loss counts beside that of the class."""

    def __call__(self, clips: Sequence[Clip]) -> tuple[Float[np.ndarray, "n m"], tuple[str, ...]]: ...


# --- learning ---------------------------------------------------------------------------------------------------------
@runtime_checkable
class ModelFn(Protocol):
    """Build a torch module ``x -> Output`` or a scikit-learn classifier for one kind of view.

    A module gets ``x`` in the view's own range and normalises it itself; those of its parts that are `Seeing` get the
    training views before training, for statistics.
    """

    @property
    def label(self) -> str:
        """The name that papers use."""

    @property
    def mixing(self) -> str:
        """How places of a picture inform each other, in a few words (the paper's "token mixing")."""

    @property
    def trains_in_epochs(self) -> bool:
        """Whether validation could choose anything: networks yes, estimators no."""

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Raise ConfigError or WeightsError if it could not be built; return facts of its weights. Builds nothing."""

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> Predictor: ...


@runtime_checkable
class FitsStatistics(Protocol):
    """A part of a module that measures the training views before training; what it learns is part of its state."""

    def fit_statistics(self, batches: Iterable[Float[Tensor, "_ t c h w"]]) -> None:
        """Take all training views, some at a time, as the module will get them."""


@runtime_checkable
class FrozenBackbone(Protocol):
    """A module with a frozen body, run once for all folds, whose head is fitted once to what the body gives.

    Its body starts alike whatever the seed of a fold.
    """

    def embed(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        """Return what the body gives."""

    def fit_head(self, features: Float[Tensor, "n f"], y: Int[np.ndarray, "n"]) -> None:
        """Fit the head to the features of the training views and their classes; what it learns is part of the state."""

    def classify(self, features: Float[Tensor, "n f"]) -> Output:
        """Return what the head makes of the body's features."""


@runtime_checkable
class LossFn(Protocol):
    """Return one value a row, which training joins by a plain mean; `class_counts` are those of the training rows.

    A value may depend on the other rows of the batch: a loss with another average rescales its rows, so that their
    plain mean is that average.
    """

    def __call__(self, output: Output, batch: Batch, class_counts: Float[Tensor, "k"]) -> Float[Tensor, "b"]: ...


@runtime_checkable
class Vote(Protocol):
    """Join the views of one clip (columns ``frames, p_0 .. p_(k-1)``) into its label and probabilities."""

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]: ...


@runtime_checkable
class LearntVote(Protocol):
    """A vote that is fitted in each fold: on the views of validation where there are any, else on those of training.

    Not fitted, it votes as well as it can, for instance while validation chooses an epoch.
    """

    def fit(self, views: pd.DataFrame) -> Vote:
        """Return the vote fitted to views of many clips (columns ``clip, y_true, frames, p_0 .. p_(k-1)``)."""


# --- what a model looks at --------------------------------------------------------------------------------------------
@runtime_checkable
class Explainer(Protocol):
    """Say how much each place of a view has to do with one class of a trained model."""

    @property
    def label(self) -> str:
        """The name that papers use."""

    @property
    def scale(self) -> str:
        """What a value of its maps is, in a few words."""

    @property
    def by_class(self) -> bool:
        """Whether the maps of two classes differ."""

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError where there is no such map; `model`, called `name`, is built and not trained."""

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution: ...


# --- evaluation -------------------------------------------------------------------------------------------------------
@runtime_checkable
class EvalProtocol(Protocol):
    """Say who is trained on and tested on; `table` is the clip table with its column ``label``."""

    @property
    def subject_independent(self) -> bool:
        """Whether it promises that nobody tested was trained on: a constant, or read from the folds it was given."""

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]: ...


@runtime_checkable
class Metric(Protocol):
    """Score predictions; `over` are the classes averaged, fixed by the point estimate so that resamples keep them.

    The first line of its docstring is the formula, which the report prints.
    """

    absent_classes: ClassVar[str]
    """The rule for classes without a true clip, printed beside every score."""
    higher_is_better: ClassVar[bool]
    """Its orientation; every score lies in 0..1."""

    def __call__(
        self,
        y_true: Int[np.ndarray, "n"],
        y_pred: Int[np.ndarray, "n"],
        proba: Float[np.ndarray, "n k"],
        over: Bool[np.ndarray, "k"],
    ) -> float: ...


@runtime_checkable
class ConfusionMetric(Protocol):
    """A metric that needs no more than confusion matrices; intervals and tests score thousands of them at once."""

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], over: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices (rows: true class)."""


# --- the subject's own video, and many machines -----------------------------------------------------------------------
@runtime_checkable
class Spotter(Protocol):
    """Find expressions in one pass with bounded memory; stateful by nature, and resumable."""

    def update(
        self, frames: UInt8[np.ndarray, "t h w c"], seconds: Float[np.ndarray, "t"], boxes: Float[np.ndarray, "t 4"]
    ) -> None:
        """Take the next frames with their true timestamps."""

    def finish(self) -> Spotting:
        """Return what was found."""


@runtime_checkable
class Launcher(Protocol):
    """Run a function over jobs somewhere; a job that fails is yielded with its error and the others go on."""

    def __call__(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[tuple[J, R | Exception]]: ...


# --- registries -------------------------------------------------------------------------------------------------------
datasets: Registry[Dataset] = Registry("dataset", "datasets", "microexpr.datasets", bound=frozenset({"root"}))
detectors: Registry[Detector] = Registry("detector", "detection", "microexpr.detection")
preprocessors: Registry[Preprocessor] = Registry("preprocessing", "preprocessing", "microexpr.preprocessing")
samplers: Registry[Sampler] = Registry("sampling", "sampling", "microexpr.sampling")
representations: Registry[Representation] = Registry("representation", "representation", "microexpr.representation")
augmentations: Registry[Augmentation] = Registry("augmentation", "augmentation", "microexpr.augmentation")
targets: Registry[Target] = Registry("target", "targets", "microexpr.targets")
models: Registry[ModelFn] = Registry("model", "models", "microexpr.models")
losses: Registry[LossFn] = Registry("loss", "losses", "microexpr.losses")
votes: Registry[Vote] = Registry("voting", "voting", "microexpr.voting")
protocols: Registry[EvalProtocol] = Registry("protocol", "protocols", "microexpr.protocols")
metrics: Registry[Metric] = Registry("metric", "metrics", "microexpr.metrics")
explainers: Registry[Explainer] = Registry("explanation", "explainers", "microexpr.explanation")
spotters: Registry[Spotter] = Registry("spotting", "spotting", "microexpr.spotting")
launchers: Registry[Launcher] = Registry("launcher", "launchers", "microexpr.launchers")

REGISTRIES: Mapping[str, Registry[Any]] = {
    registry.folder: registry
    for registry in (
        datasets, detectors, preprocessors, samplers, representations, augmentations, targets, models, losses, votes,
        protocols, metrics, explainers, spotters, launchers,
    )
}  # fmt: skip


def unknown() -> list[str]:
    """Return a sentence for each component of this run that cannot be recognised again."""
    return [
        f"nothing stored that rests on {registry.kind} {name!r} was reused: it {problem}."
        for registry in REGISTRIES.values()
        for name, problem in registry.unrecognised.items()
    ]


def reader(name: str) -> type[Dataset]:
    """Return a database's reader, for what it says without a folder: info, emotions, corrections."""
    found = datasets.get(name)
    assert isinstance(found, type)
    return found
