"""The interfaces of all components, and their registries: READ THIS FIRST.

Data flow one way::

    Dataset -> Preprocessor -> Sampler -> Representation -> Augmentation -> Model -> Vote
            -> EvalProtocol -> Metric -> statistics -> report

To add a component, write one file in the folder of its kind and register a factory there, usually a frozen dataclass
with ``__call__``. The factory's named parameters become the parameters of study files.

Arrays are ``t h w c`` (time, height, width, channels) before the model and ``b t c h w`` (b: batch) inside it. Frame
numbers are those of the database. Boxes are ``(x0, y0, x1, y1)`` in pixels. The values that components exchange
(`Modality`, `Frames`, `ViewSpec`, `Batch`, `Output`, `Fold` ...) are defined in `core.types`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from microexpr.core.clip import Clip
from microexpr.core.errors import Fault
from microexpr.core.registry import Registry
from microexpr.core.types import AddedLater as AddedLater
from microexpr.core.types import Attribution as Attribution
from microexpr.core.types import Batch as Batch
from microexpr.core.types import Correction as Correction
from microexpr.core.types import DatasetInfo as DatasetInfo
from microexpr.core.types import Fold as Fold
from microexpr.core.types import Frames as Frames
from microexpr.core.types import KeyedByContent as KeyedByContent
from microexpr.core.types import Modality as Modality
from microexpr.core.types import Output as Output
from microexpr.core.types import Scaling as Scaling
from microexpr.core.types import View as View
from microexpr.core.types import ViewSpec as ViewSpec
from microexpr.core.types import Work as Work

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from jaxtyping import Bool, Float, Int, Num, UInt8
    from sklearn.base import BaseEstimator
    from torch import Tensor, nn

    Predictor: TypeAlias = nn.Module | BaseEstimator


# --- data -------------------------------------------------------------------------------------------------------------
class Dataset(ABC):
    """Reader of one database on disk, in its owners' layout. Reading changes no file; errors are DataError."""

    info: ClassVar[DatasetInfo]
    emotions: ClassVar[Mapping[str, str]]
    """The table's word for each emotion -> the emotion's name in microexpr."""
    corrections: ClassVar[tuple[Correction, ...]] = ()

    @abstractmethod
    def __init__(self, root: Path) -> None: ...

    @abstractmethod
    def modalities(self) -> Mapping[str, Modality]:
        """Return the recorded modalities by name, the default first."""

    @abstractmethod
    def clips(self) -> Sequence[Clip]:
        """Return every annotated expression that can be read from the table, in the table's order."""

    @abstractmethod
    def faults(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return all faults of table and folder at once; with `table_only` no image is opened."""

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]:
        """Return what is unusual but not a fault: no apex, longer than 500 ms, frames or folders without a row."""
        return ()

    def cropped(self) -> bool:
        """Whether the frames are faces that the owners have already cropped."""
        return False

    @abstractmethod
    def metadata(self) -> Mapping[str, str]:
        """Return what results must state about this copy: label version, folder, whether it is synthetic ..."""

    def applied(self) -> Sequence[Correction]:
        """Return the corrections that were applied to this copy."""
        return ()

    @abstractmethod
    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]:
        """Return frames by number; raises FrameError naming the file."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 of the table's bytes and of the file names and sizes."""


@runtime_checkable
class FrameSource(Protocol):
    """Where frames come from: a `Dataset`, folders of frames or arrays. Its methods are those of `Dataset`."""

    def modalities(self) -> Mapping[str, Modality]: ...
    def clips(self) -> Sequence[Clip]: ...
    def faults(self, *, table_only: bool = False) -> Sequence[Fault]: ...
    def frames(self, clip: Clip, numbers: Sequence[int], modality: str) -> Num[np.ndarray, "t h w c"]: ...


@runtime_checkable
class ClipSource(FrameSource, Protocol):
    """What an experiment reads clips from: one `Dataset`, or several combined. Its methods are those of `Dataset`."""

    def notes(self, *, table_only: bool = False) -> Sequence[Fault]: ...
    def cropped(self) -> bool: ...
    def metadata(self) -> Mapping[str, str]: ...
    def applied(self) -> Sequence[Correction]: ...
    def fingerprint(self) -> str: ...


# --- from frames to model input ---------------------------------------------------------------------------------------
@runtime_checkable
class Detector(Protocol):
    """Face detector: frame -> boxes in pixels, most certain first; no rows where no face is found."""

    def __call__(self, frame: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 4"]: ...


@runtime_checkable
class ClipFrames(Protocol):
    """The frames and face boxes of one clip, as passed to a preprocessor; read or detected on demand."""

    clip: Clip

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the modality's channels."""

    def pixels(self, numbers: Sequence[int]) -> Num[np.ndarray, "t h w c"]:
        """Return source frames by number; raises FrameError."""

    def boxes(self, numbers: Sequence[int], detector: str) -> Float[np.ndarray, "t 4"]:
        """Return the best face box of each frame, detected once per frame and detector; raises NoFaceError."""


@runtime_checkable
class Preprocessor(Protocol):
    """Crop, resize or filter frames: (clip, frame numbers) -> `Frames`, one per number.

    The result for frame n must not depend on which other frames were requested.
    """

    @property
    def requires_uncropped(self) -> bool:
        """Whether it is meaningless on frames that are already cropped."""

    def __call__(self, frames: ClipFrames, numbers: Sequence[int]) -> Frames: ...


@runtime_checkable
class Sampler(Protocol):
    """Choose the views of a clip, tuples of frame numbers; raises DataError for a clip that lacks these frames."""

    @property
    def uses_annotations(self) -> bool:
        """Whether annotated times (onset, apex, offset) decide which frames are used, in test clips too."""

    @property
    def nominal(self) -> int:
        """Largest number of views per clip."""

    def __call__(self, clip: Clip) -> Sequence[View]: ...


@runtime_checkable
class Representation(Protocol):
    """Turn one view into model input (pixels, optical flow, histograms ...): ``t h w c -> t2 h2 w2 c2``."""

    @property
    def cached(self) -> bool:
        """Whether it is expensive, so that it is computed once and shared by all runs."""

    @property
    def min_frames(self) -> int:
        """Smallest number of frames in a view."""

    @property
    def fixed_length(self) -> bool:
        """Whether the output has the same shape for views of any number of frames."""

    def output_spec(self, incoming: Modality) -> Modality:
        """Return channels and value range of the output; raises ConfigError for channels that it cannot take."""

    def __call__(self, view: Frames, numbers: View, clip: Clip) -> Num[np.ndarray, "t2 h2 w2 c2"]: ...


@runtime_checkable
class Augmentation(Protocol):
    """Change training batches at random; validation and test batches are never augmented."""

    def check(self, view: ViewSpec) -> None:
        """Raise ConfigError for views that it cannot change; called before anything is trained."""

    def __call__(self, batch: Batch, view: ViewSpec, generator: torch.Generator) -> Batch: ...


# --- models -----------------------------------------------------------------------------------------------------------
@runtime_checkable
class ModelFn(Protocol):
    """Build a model for one kind of view: a torch module ``x -> Output``, or a scikit-learn classifier.

    A module receives ``x``, float32 ``b t c h w``, in the view's own value range and normalises it itself. A classifier
    receives rows ``n t*h*w*c``. Parts of a module that are `FitsStatistics` see the training views before training.
    """

    @property
    def label(self) -> str:
        """Name used in papers."""

    @property
    def mixing(self) -> str:
        """How image positions exchange information, in a few words (the paper's "token mixing")."""

    @property
    def trains_in_epochs(self) -> bool:
        """Whether there are epochs for validation to choose from: True for networks, False for estimators."""

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Return metadata of the weights, without building the model; raises ConfigError or WeightsError."""

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> Predictor:
        """Build the model; `aux`: auxiliary target -> number of its outputs. Raises as `check` does."""


@runtime_checkable
class FitsStatistics(Protocol):
    """Part of a module that measures the training views before training, such as an input normalisation.

    What it measures must be part of the module's state.
    """

    def fit_statistics(self, batches: Iterable[Float[Tensor, "_ t c h w"]]) -> None:
        """Take all training views in batches, exactly as the module will receive them."""


@runtime_checkable
class FrozenBackbone(Protocol):
    """A module with a frozen backbone, run once for all folds, and a head that is fitted once to its features.

    The backbone must not depend on the seed of a fold. Parameters of the model that only concern the head may be named
    in ``head_parameters`` of what builds it: models that differ in nothing else share the backbone's features.
    """

    def embed(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        """Return the backbone's features."""

    def fit_head(self, features: Float[Tensor, "n f"], y: Int[np.ndarray, "n"]) -> None:
        """Fit the head to features and classes of the training views; the result is part of the module's state."""

    def classify(self, features: Float[Tensor, "n f"]) -> Output:
        """Return the head's output for features of the backbone."""


@runtime_checkable
class Target(Protocol):
    """Auxiliary labels (action units, for instance) that a network learns beside the class, through a separate head.

    clips -> (values in 0..1, NaN where not annotated; names of the columns). The columns must not depend on the clips.
    """

    @property
    def weight(self) -> float:
        """Weight of its loss relative to that of the class."""

    def __call__(self, clips: Sequence[Clip]) -> tuple[Float[np.ndarray, "n m"], tuple[str, ...]]: ...


@runtime_checkable
class LossFn(Protocol):
    """Loss of each row of a batch; training takes the plain mean. `class_counts` are those of the training rows.

    A loss with another average rescales its rows so that their plain mean is that average; a row's value may therefore
    depend on the other rows of the batch.
    """

    def __call__(self, output: Output, batch: Batch, class_counts: Float[Tensor, "k"]) -> Float[Tensor, "b"]: ...


@runtime_checkable
class Vote(Protocol):
    """Combine the views of one clip (columns ``frames, p_0 .. p_(k-1)``) into its class and probabilities."""

    def __call__(self, views: pd.DataFrame) -> tuple[int, Float[np.ndarray, "k"]]: ...


@runtime_checkable
class TrainableVote(Protocol):
    """A vote that is fitted in each fold: to the validation views where there are any, otherwise to the training views.

    It must also work before it is fitted, for instance while validation chooses an epoch.
    """

    def fit(self, views: pd.DataFrame) -> Vote:
        """Return the vote fitted to the views of many clips (columns ``clip, y_true, frames, p_0 .. p_(k-1)``)."""


# --- evaluation -------------------------------------------------------------------------------------------------------
@runtime_checkable
class EvalProtocol(Protocol):
    """Split the clips into folds: clip table with a column ``label`` -> `Fold` objects. Raises SplitError.

    Its name within a sentence is its `title`, "LOSO"; one without it is titled by its registered name.
    """

    @property
    def subject_independent(self) -> bool:
        """Whether no subject is in both training and test: a constant, or read from the given folds."""

    def __call__(self, table: pd.DataFrame, rng: np.random.Generator) -> Iterator[Fold]: ...


@runtime_checkable
class Metric(Protocol):
    """Score predictions over `averaged_classes`, those of the point estimate, so that resamples average the same ones.

    The first line of its docstring is the formula, which the report prints.
    """

    title: ClassVar[str]
    """Its name within a sentence: "macro-F1", "accuracy". One without it is titled by its registered name."""
    absent_classes: ClassVar[str]
    """The rule for classes without a true clip, printed beside every score."""
    higher_is_better: ClassVar[bool]
    """Its orientation; every score lies in 0..1."""

    def __call__(
        self,
        y_true: Int[np.ndarray, "n"],
        y_pred: Int[np.ndarray, "n"],
        proba: Float[np.ndarray, "n k"],
        averaged_classes: Bool[np.ndarray, "k"],
    ) -> float: ...


@runtime_checkable
class ConfusionMetric(Protocol):
    """A metric that needs no more than confusion matrices; intervals and tests score thousands of them at once."""

    def of_confusion(
        self, confusion: Num[np.ndarray, "*batch k k"], averaged_classes: Bool[np.ndarray, "k"]
    ) -> Float[np.ndarray, "*batch"]:
        """Score confusion matrices (rows: true class)."""


# --- explanation ------------------------------------------------------------------------------------------------------
@runtime_checkable
class Explainer(Protocol):
    """Attribute a trained model's score for one class to the pixels of its input: one map per frame of each view."""

    @property
    def label(self) -> str:
        """Name used in papers."""

    @property
    def scale(self) -> str:
        """What a value of its maps means, in a few words."""

    @property
    def by_class(self) -> bool:
        """Whether the maps of two classes differ."""

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError for a model or view that it cannot explain; `model`, called `name`, is not yet trained."""

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution: ...


# --- running ----------------------------------------------------------------------------------------------------------
@runtime_checkable
class Launcher(Protocol):
    """Start workers on this machine, on a SLURM cluster, on a Ray cluster ... which do the work of a study.

    It only carries: a worker that is lost, or reports a success, changes nothing of what the store holds.
    """

    @property
    def cores(self) -> int | None:
        """Cores of each worker; None: the workers share those of this machine."""

    def check(self, workers: int, folders: Sequence[Path]) -> None:
        """Raise LauncherError if it cannot start the workers, or they could not reach a folder; nothing is started."""

    def run(self, work: Work) -> Generator[None, None, None]:
        """Start the workers and yield now and then until all have ended; to close it ends them."""

    def submit(self, work: Work) -> str:
        """Start workers that this process need not outlive, and return what they can be found by.

        Raises LauncherError if there are no such workers.
        """


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
launchers: Registry[Launcher] = Registry("launcher", "launchers", "microexpr.launchers")

REGISTRIES: Mapping[str, Registry[Any]] = {
    registry.folder: registry
    for registry in (
        datasets, detectors, preprocessors, samplers, representations, augmentations, targets, models, losses, votes,
        protocols, metrics, explainers, launchers,
    )
}  # fmt: skip


def unrecognised_components() -> list[str]:
    """Return a sentence for each component of this run whose stored results cannot be reused (`Registry`)."""
    return [
        f"{registry.kind} {name!r} {problem}; stored results that depend on it were not reused."
        for registry in REGISTRIES.values()
        for name, problem in registry.unrecognised.items()
    ]


def reader(name: str) -> type[Dataset]:
    """Return a database's reader class, for what needs no folder: info, emotions, corrections."""
    found = datasets.get(name)
    assert isinstance(found, type)
    return found
