"""Open databases and check experiments against them completely before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.config.settings import Precision
from microexpr.core import flow, interfaces
from microexpr.core.clip import Clip
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError, DataError, Fault, IncompatibleError, NoWeightsError, of_clip
from microexpr.core.files import digest
from microexpr.core.interfaces import ClipSource, Fold, Preprocessor, Sampler, ViewSpec
from microexpr.core.labels import CountWarning, LabelSet, clip_table, label_set
from microexpr.core.lineage import Lineage
from microexpr.core.multitask import TargetValues
from microexpr.core.progress import Progress, Silent
from microexpr.core.randomness import rng_for
from microexpr.core.words import many
from microexpr.data.cache import Cache, Views
from microexpr.data.composite import Composite
from microexpr.learning import learners
from microexpr.learning.checkpoint import lineage_of
from microexpr.learning.device import fastest_precision, has_bf16
from microexpr.learning.learners import Learner
from microexpr.learning.pipeline import Pipeline, without_weights
from microexpr.runs.compatibility import (
    check_colour,
    check_lengths,
    check_targets,
    check_training,
    known_targets,
    naming_the_method,
    no_view_error,
)
from microexpr.runs.store import Results
from microexpr.runs.validation_split import limit_training, split_validation

LOCAL = Component(name="local")


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: no option changes a result, except for clips left out, which are listed."""

    data: Mapping[str, Path | ClipSource]
    """Folder of each database, or recordings that are open already, by registered name."""
    out: Path = Path()
    """Folder for results and caches; created when there is something to write."""
    skip_invalid: bool = False
    """Continue without clips that have faults."""
    allow_cropped: bool = False
    """Accept frames cropped by the database's owners where a preprocessing requires uncropped ones."""
    keep_weights: bool = False
    workers: int = 1
    """Processes that read frames and detect faces."""
    jobs: int = 1
    """Folds trained in parallel, each in its own process with its share of the cores."""
    launcher: Component = LOCAL
    """What starts the processes that train folds, if there are several or they run elsewhere."""
    retry_failed: bool = False
    """Train folds again that could not be trained before."""
    fold_minutes: float = 0.0
    """Minutes after which the process that trains a fold is ended, where it is not this one; 0: never."""
    results: str = "results"
    """Folder for results, within `out`."""

    @property
    def in_processes(self) -> bool:
        """Whether folds are trained in other processes than this one."""
        return self.jobs > 1 or self.launcher != LOCAL

    @cached_property
    def built_launcher(self) -> interfaces.Launcher:
        """The launcher; raises ConfigError."""
        launcher: interfaces.Launcher = self.launcher.build(interfaces.launchers)
        return launcher

    def absolute(self) -> Options:
        """Return these options for processes that may have another working directory."""
        data = {name: place.absolute() if isinstance(place, Path) else place for name, place in self.data.items()}
        return replace(self, data=data, out=self.out.absolute())


@dataclass(frozen=True)
class Data:
    """The databases of an experiment: the clips that its label set keeps, and their table."""

    name: str
    """Databases, modality and labels; experiments with the same name share these data."""
    dataset: ClipSource
    modality: str
    labels: LabelSet
    clips: tuple[Clip, ...]
    cache: Cache
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    """Clips that the label set leaves out, by emotion."""
    skipped: tuple[Fault, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """The clip table (labels.clip_table)."""
        return clip_table(self.clips, self.labels)

    @property
    def label_warnings(self) -> list[CountWarning]:
        """Databases of which the label set keeps no clip, or a number of clips that differs from the published one."""
        bad = {fault.clip for fault in self.skipped}
        clips = (clip for clip in self.dataset.clips() if clip.key not in bad)
        return self.labels.count_warnings(clips, synthetic="synthetic" in self.dataset.metadata())

    def without(self, faults: Sequence[Fault]) -> Data:
        """Return these data without the clips with faults, which are listed in `skipped`."""
        bad = {fault.clip for fault in faults}
        clips = tuple(clip for clip in self.clips if clip.key not in bad)
        return replace(self, clips=clips, skipped=(*self.skipped, *faults))


@dataclass(frozen=True)
class Plan:
    """An experiment with all components built and checked, ready to run."""

    experiment: Experiment
    data: Data
    preprocessor: Preprocessor
    sampler: Sampler
    model: interfaces.ModelFn
    spec: ViewSpec
    frame_size: tuple[int, int]
    """Height and width of preprocessed frames."""
    weights: Mapping[str, str]

    @cached_property
    def key(self) -> str:
        """The experiment's key; it includes the starting weights."""
        metadata = {name: self.weights[name] for name in ("sha256",) if name in self.weights}
        resolved = self.experiment.model_copy(update={"modality": self.data.modality})
        return resolved.key(**(metadata or {"weights": self.weights.get("weights", "none")}))

    @cached_property
    def table(self) -> pd.DataFrame:
        """The clip table; its labels are permuted between clips if the experiment requires it."""
        table = self.data.table
        if not self.experiment.shuffled:
            return table
        rng = rng_for(self.experiment.seed, f"shuffled/{self.experiment.shuffled}")
        return table.assign(label=rng.permutation(table["label"].to_numpy()))

    @property
    def y(self) -> Int[np.ndarray, "n"]:
        """Class numbers of the clips."""
        return self.table["label"].to_numpy(int)

    @cached_property
    def lineage(self) -> Lineage:
        """What the starting weights were trained on, as far as a weights file named by the user records it.

        Random weights were trained on nothing, and published weights on no database of micro-expressions.
        """
        weights = interfaces.models.bind(self.experiment.model.name, self.experiment.model.params).get("weights")
        named = isinstance(weights, str) and weights.endswith(".safetensors")
        return lineage_of(Path(str(weights)).expanduser()) if named else Lineage()

    @cached_property
    def targets(self) -> Mapping[str, TargetValues]:
        """The auxiliary targets by name, one row per clip; raises IncompatibleError."""
        return known_targets(self.experiment, self.data.clips)

    @property
    def aux(self) -> dict[str, int]:
        """Auxiliary target -> number of its outputs."""
        return {name: len(target.names) for name, target in self.targets.items()}

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """The protocol's folds, with a validation set if this experiment selects, and training sets of its size.

        Raises SplitError or ConfigError.
        """
        experiment, table = self.experiment, self.table
        protocol = experiment.protocol.build(interfaces.protocols)
        folds = list(protocol(table, rng_for(experiment.seed, "split")))
        if experiment.selects and self.model.trains_in_epochs:
            folds = [fold if fold.val is not None else split_validation(fold, table, experiment) for fold in folds]
        return tuple(limit_training(fold, table, experiment) for fold in folds)

    def learner(self, seed: int | None = None) -> Learner:
        """Return an untrained model with the starting weights of the experiment, random ones from `seed`."""
        classes = len(self.data.labels.classes)
        return learners.make(lambda: self.model(self.spec, classes, self.aux), classes, self.experiment.training, seed)

    def pipeline(self, learner: Learner) -> Pipeline:
        """Return every step from frames to labels, with a learner of this plan."""
        targets = {name: target.names for name, target in self.targets.items()}
        classes, modality = self.data.labels.classes, self.data.modality
        channels = self.data.dataset.modalities()[modality].channels
        return Pipeline(self.experiment, learner, classes, self.spec, modality, channels, targets)

    def views(self) -> Views:
        """Return the views of all clips from the cache."""
        return self._views(self._represented)

    def embedded(self) -> Views:
        """Return the views of all clips, with the features of the model's frozen backbone, if it has one."""
        views, model = self.views(), self.experiment.model
        learner = None if self.model.trains_in_epochs else self.learner()
        if learner is None or not learner.embeds:
            return views
        canonical, training = self.experiment.canonical(), self.experiment.training
        head = getattr(self.model, "head_parameters", ())
        backbone = {key: value for key, value in canonical["model"]["params"].items() if key not in head}
        kinds = [canonical["preprocessing"], canonical["representation"], training.precision, learner.batch]
        where = [learners.device().type, *(environment()[package] for package in ("torch", "timm"))]
        revision = interfaces.models.revision(model.name)
        name = [model.name, revision, backbone, dict(self.weights), self.spec, kinds, where]
        return self.data.cache.embedded(views, name, lambda: learner.embed(views, np.arange(len(views))))

    def _views(self, represented: str) -> Views:
        name = preprocessing_id(self.experiment.preprocessing)
        return self.data.cache.views(name, self.data.clips, self.sampler, self.representation, represented)

    def represent(self, workers: int, progress: Progress) -> None:
        """Compute the representation of every view missing in the cache, if it is expensive enough to be cached."""
        if self._represented:
            self.data.cache.represent(self._views(""), self._represented, workers, progress)

    @property
    def representation(self) -> interfaces.Representation:
        """The component that turns frames into model input."""
        return interfaces.representations.build(
            self.experiment.representation.name, self.experiment.representation.params
        )

    @property
    def finest(self) -> tuple[int, int] | None:
        """Finest scale of DIS optical flow (halvings of the frame), as used and as set; None without DIS."""
        representation: Any = self.representation
        if getattr(representation, "method", "") != "dis":
            return None
        return flow.finest_scale(*self.frame_size, representation.finest), representation.finest

    @property
    def _represented(self) -> str:
        """The name under which computed views are cached; empty if they are not cached."""
        if not self.representation.cached:
            return ""
        registry, part = interfaces.representations, self.experiment.representation
        params = registry.bind(part.name, part.params)
        preprocessing = preprocessing_id(self.experiment.preprocessing)
        # Views of several lengths differ in shape, and one file holds one shape.
        return f"{part.name}/{digest([preprocessing, registry.revision(part.name), params, self.spec.shape])}"

    def view_counts(self) -> Int[np.ndarray, "n"]:
        """Return the number of views of each clip."""
        return np.array([len(self.sampler(clip)) for clip in self.data.clips])


@dataclass
class Done:
    """The folds that a run trained, and those that were stored already, as pairs of experiment key and fold name."""

    trained: set[tuple[str, str]] = field(default_factory=set)
    stored: set[tuple[str, str]] = field(default_factory=set)

    def summary(self) -> dict[str, Any]:
        """Return the numbers ``trained`` and ``reused``, and the components that cannot be identified (``unknown``)."""
        reused = self.stored - self.trained
        return {"trained": len(self.trained), "reused": len(reused), "unknown": interfaces.unrecognised_components()}


class Checked(NamedTuple):
    """What another process needs to know of data that were checked: it reads no faults and no file sizes again."""

    fingerprint: str
    skipped: tuple[Fault, ...]


@dataclass
class Workspace:
    """What experiments that run together share: open databases, cached frames, the output folder."""

    options: Options
    progress: Progress = field(default_factory=Silent)
    done: Done = field(default_factory=Done)
    checked: Mapping[str, Checked] = field(default_factory=dict)
    """Data that another process checked, by name."""
    _data: dict[str, Data] = field(default_factory=dict)
    _unfit: dict[str, list[Fault]] = field(default_factory=dict)
    """Faults of clips that are still to be left out, by the name of their data."""
    _specs: dict[tuple[str, ...], tuple[ViewSpec, tuple[int, int]]] = field(default_factory=dict)
    _precisions: dict[tuple[str, ViewSpec], Precision] = field(default_factory=dict)

    def plan(self, experiment: Experiment, *, weights: bool = True, tests: bool = True) -> Plan:
        """Check an experiment against its database; raises ConfigError, DataError, SplitError or WeightsError.

        With `weights = False`, missing pretrained weights are recorded instead of refused; with `tests = False`, the
        protocol is not used, as nothing will be tested.
        """
        (plan,) = self.settle([self.draft(experiment, weights=weights)])
        if tests:
            check_folds(plan)
        return plan

    def draft(self, experiment: Experiment, *, weights: bool = True) -> Plan:
        """Check the components of an experiment; `settle` then leaves out the clips that do not fit.

        Raises the errors of `plan`, except for those of the protocol.
        """
        experiment.check()
        data = self._open(experiment)
        preprocessor = experiment.preprocessing.build(interfaces.preprocessors)
        if preprocessor.requires_uncropped and data.dataset.cropped() and not self.options.allow_cropped:
            raise DataError(
                "E461",
                f"preprocessing {experiment.preprocessing.label} requires uncropped frames, but the faces in this "
                "folder were cropped by the database's owners. Point --data at the uncropped frames, or accept cropped "
                "ones with --allow-cropped; the report then states this.",
            )
        sampler = experiment.sampling.build(interfaces.samplers)
        unsampled = [fault for clip in data.clips for fault in _unsampled(clip, sampler)]
        if len(unsampled) == len(data.clips):
            raise IncompatibleError(
                "E450", f"sampling {experiment.sampling.label} fits no clip: {unsampled[0].problem}"
            )
        bad = {fault.clip for fault in unsampled}
        clips = [clip for clip in data.clips if clip.key not in bad]
        experiment.vote.build(interfaces.votes)  # wrong parameters are reported before anything is trained
        model = experiment.model.build(interfaces.models)
        parts = (experiment.preprocessing, experiment.sampling, experiment.representation)
        model_input = (data.name, *(part.label for part in parts))
        if model_input not in self._specs:
            self._specs[model_input] = self._spec(experiment, data, clips, preprocessor, sampler)
        spec, frame_size = self._specs[model_input]
        too_short = check_lengths(experiment, clips, sampler)
        with naming_the_method(clips):
            check_colour(experiment, data.dataset.modalities()[data.modality].channels, spec)
            check_training(experiment, model, spec)
            found = _weights(model, spec, required=weights)
        plan = Plan(experiment, data, preprocessor, sampler, model, spec, frame_size, found)
        if not self.checked:  # processes that train folds compute them as the process that planned them
            plan = self._with_precision(plan)
        # Last, so that a method that does not fit removes no clip from the others.
        self._unfit.setdefault(data.name, []).extend([*unsampled, *too_short])
        return plan

    def _with_precision(self, plan: Plan) -> Plan:
        """Return the plan with the precision that "auto" means for its network on this machine; raises ConfigError."""
        setting = plan.experiment.training.precision
        if setting == "bf16" and not has_bf16():
            raise ConfigError(
                "E153",
                'training.precision = "bf16": this processor does not compute bf16 natively (AVX512-BF16, AMX), so '
                'training would be several times slower. Set "auto" or "float32".',
            )
        if setting != "auto" or not has_bf16():
            return plan
        model = plan.experiment.model
        size = (model.label, plan.spec)
        if size not in self._precisions:
            classes = len(plan.data.labels.classes)
            self._precisions[size] = fastest_precision(without_weights(model), plan.spec, classes, plan.aux)
        if self._precisions[size] == "float32":
            return plan  # results that earlier versions stored under "auto" keep their keys
        return replace(plan, experiment=plan.experiment.with_values({"training.precision": "bf16"}))

    def settle(self, plans: Sequence[Plan]) -> list[Plan]:
        """Return the plans without the clips that some plan cannot use, so that all of them use the same clips.

        Raises DataError for such clips, unless the options skip them.
        """
        unfit = dict(self._unfit)
        self._unfit.clear()
        for name, faults in unfit.items():
            first = {fault.clip: fault for fault in reversed(faults)}
            self._data[name] = self._without(self._data[name], list(first.values())[::-1])
        return [
            plan if plan.data is self._data[plan.data.name] else replace(plan, data=self._data[plan.data.name])
            for plan in plans
        ]

    def results(self, plan: Plan) -> Results:
        """Return the stored results of a plan."""
        return Results(self.options.out / self.options.results, plan.key)

    def prepare(self, plans: Sequence[Plan]) -> list[Plan]:
        """Preprocess every frame that the plans need and the cache lacks; raises DataError with all faulty clips.

        Expensive representations are computed as well. Returns the plans without clips that turned out to be faulty.
        """
        for data in {plan.data.name: plan.data for plan in plans}.values():
            wanted: dict[str, tuple[str, Preprocessor, dict[int, list[int]]]] = {}
            for plan in plans:
                if plan.data.name == data.name:
                    name = preprocessing_id(plan.experiment.preprocessing)
                    _, _, numbers = wanted.setdefault(name, (name, plan.preprocessor, {}))
                    for row, clip in enumerate(data.clips):
                        sampled = {number for view in plan.sampler(clip) for number in view}
                        numbers[row] = sorted(sampled.union(numbers.get(row, ())))
            faults = data.cache.prepare(list(wanted.values()), data.clips, self.options.workers, self.progress)
            self._unfit.setdefault(data.name, []).extend(faults)
        settled = self.settle(plans)
        for plan in settled:
            plan.represent(self.options.workers, self.progress)
            if self.options.in_processes and not plan.model.trains_in_epochs:
                plan.embedded()  # with all cores, before the processes share them
        return settled

    def _open(self, experiment: Experiment) -> Data:
        names = " + ".join(chosen.label for chosen in experiment.datasets)
        name = f"{names}|{experiment.modality}|{experiment.labels}"
        if name not in self._data:
            self._data[name] = self._read(name, names, experiment)
        return self._data[name]

    def _read(self, name: str, names: str, experiment: Experiment) -> Data:
        readers = {chosen.label: self._reader(chosen) for chosen in experiment.datasets}
        if len(readers) < len(experiment.datasets):
            raise ConfigError("E127", f"datasets: {names} lists a database twice; remove one of the two.")
        dataset: ClipSource = Composite(readers) if len(readers) > 1 else next(iter(readers.values()))
        known = self.checked.get(name)
        faults = dataset.faults() if known is None else ()
        fatal = [fault for fault in faults if fault.clip is None]
        bad = {fault.clip for fault in faults}
        keys = bad | {clip.key for clip in dataset.clips()}  # a row that cannot be read gives no clip
        if fatal or (faults and (keys == bad or not self.options.skip_invalid)):
            places = [self.options.data[chosen.name] for chosen in experiment.datasets]
            roots = [str(place) for place in places if isinstance(place, Path)]
            raise self._refusal(faults, keys, ", ".join(dict.fromkeys(roots)))
        modalities = dataset.modalities()
        if not modalities:
            raise ConfigError(
                "E127", f"datasets: {names} have no modality in common; combine databases with a common modality."
            )
        modality = experiment.modality or next(iter(modalities))
        if modality not in modalities:
            raise IncompatibleError("E460", f"modality: {names} has no {modality!r}; it has {', '.join(modalities)}.")
        labels = label_set(experiment.labels, dataset.clips())
        clips = tuple(clip for clip in dataset.clips() if labels.of(clip) is not None)
        left_out = Counter(clip.emotion or "none" for clip in dataset.clips() if labels.of(clip) is None)
        if not clips:
            raise DataError(
                "E465",
                f"{names}: label set {labels.name!r} keeps none of its clips; choose a label set for this database, or "
                "map its emotions with a table of labels.",
            )
        revisions = {chosen.name: interfaces.datasets.revision(chosen.name) for chosen in experiment.datasets}
        outside = tuple(f"{name}/{revision}" for name, revision in revisions.items() if isinstance(revision, str))
        fingerprint = dataset.fingerprint() if known is None else known.fingerprint
        cache = Cache(dataset, modality, self.options.out / "cache", fingerprint, readers=outside)
        data = Data(name, dataset, modality, labels, clips, cache, left_out)
        return self._without(data, faults) if known is None else data.without(known.skipped)

    def _reader(self, chosen: Component) -> ClipSource:
        if chosen.name not in self.options.data:
            raise ConfigError(
                "E130",
                f"no folder was given for {chosen.name}. Write --data {chosen.name}=DIR, or --data DIR if this is the "
                "only database.",
            )
        place, params = self.options.data[chosen.name], interfaces.datasets.bind(chosen.name, chosen.params)
        return interfaces.datasets.get(chosen.name)(place, **params) if isinstance(place, Path) else place

    def _without(self, data: Data, faults: Sequence[Fault]) -> Data:
        """Return data without the clips with faults; raises DataError unless the options skip them."""
        keys = {clip.key for clip in data.clips}
        if faults and (not self.options.skip_invalid or keys <= {fault.clip for fault in faults}):
            raise self._refusal(faults, keys)
        return data.without(faults) if faults else data

    def _refusal(self, faults: Sequence[Fault], keys: Collection[str | None], roots: str = "") -> DataError:
        """Return the error for faults; it offers to skip clips only where that can help and leaves some of `keys`."""
        where = f" in {roots}" if roots else ""
        bad = {fault.clip for fault in faults}
        if None not in bad and bad.issuperset(keys):
            heading = f"all {many(len(keys), 'clip')} have faults, so no clip is left to run; fix them{where}:"
            return DataError("E467", heading, faults)
        heading = f"{many(len(faults), 'fault')}{where}; fix "
        heading += "it" if len(faults) == 1 else "them"
        if None in bad or self.options.skip_invalid:
            return DataError("E467", f"{heading}:", faults)
        return DataError("E468", f"{heading}, or run without the faulty clips with --skip-invalid:", faults)

    def _spec(
        self,
        experiment: Experiment,
        data: Data,
        clips: Sequence[Clip],
        preprocessor: Preprocessor,
        sampler: Sampler,
    ) -> tuple[ViewSpec, tuple[int, int]]:
        """Return the model input and the size of its frames, found from one view of the first clip that gives one."""
        representation = experiment.representation.build(interfaces.representations)
        modality = data.dataset.modalities()[data.modality]
        failed = None
        for clip in clips:
            view = sampler(clip)[0]
            source = data.cache.frames(clip)
            try:
                with naming_the_method():
                    frames = preprocessor(source, view)
            except DataError as error:
                failed = (clip, error)
                continue
            finally:
                data.cache.seen[clip.key] = source.known  # detecting faces again for every preprocessing takes seconds
            with naming_the_method():
                output = representation.output_spec(modality._replace(channels=frames.channels))
            if len(view) >= representation.min_frames:
                height, width = frames.pixels.shape[1:3]
                return ViewSpec(representation(frames, view, clip).shape, *output), (height, width)
        raise no_view_error(experiment, representation.min_frames, clips, failed)


def check_folds(plan: Plan) -> None:
    """Check the folds, and whether their clips allow the requested training and confidence intervals.

    Raises SplitError, ConfigError or IncompatibleError.
    """
    check_targets(plan.targets, plan.folds)
    settings = plan.experiment.bootstrap
    tested = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    subjects = plan.table["subject"].to_numpy()[tested]
    if settings.unit == "subject" and len(set(subjects)) < 2:
        raise ConfigError(
            "E466",
            f'bootstrap.unit = "subject": all {len(tested)} test clips are from one subject, {subjects[0]}, '
            'which says nothing about other subjects. Test on several, or set bootstrap.unit = "clip"; such an '
            "interval only applies to further clips of this subject.",
        )
    if settings.method != "percentile" and len(tested) < 2:
        raise ConfigError(
            "E466",
            f'bootstrap.method = "{settings.method}" needs at least two test clips, but there is only one. '
            'Test on more, or set bootstrap.method = "percentile".',
        )


def preprocessing_id(component: Component) -> str:
    """Return the identifier of a preprocessing and its parameters, under which its frames are cached."""
    registry = interfaces.preprocessors
    params = registry.bind(component.name, component.params)
    detector = interfaces.detectors.revision(params["detector"]) if "detector" in params else 0
    if "of" in params:
        params["of"] = preprocessing_id(Component.model_validate(params["of"]))
    return f"{component.name}/{digest([registry.revision(component.name), detector, params])}"


def _weights(model: interfaces.ModelFn, spec: ViewSpec, *, required: bool) -> Mapping[str, str]:
    try:
        return model.check(spec)
    except NoWeightsError:
        if required:
            raise
        return {"weights": "not available"}


def _unsampled(clip: Clip, sampler: Sampler) -> Iterator[Fault]:
    try:
        sampler(clip)
    except DataError as error:
        yield Fault("E451", clip.key, of_clip(error, clip.key), "choose a sampling that does not need it", clip.key)
