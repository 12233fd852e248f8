"""Open databases and check experiments against them, whole, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from microexpr.config.study import Component, Experiment, rng_for
from microexpr.core import flow as motion
from microexpr.core import interfaces as contracts
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError, Fault, IncompatibleError, NoWeightsError, many, of_clip
from microexpr.core.files import digest
from microexpr.core.interfaces import Fold, Preprocessor, Recordings, Sampler, ViewSpec
from microexpr.core.labels import CountWarning, LabelSet, clip_table, label_set
from microexpr.core.lineage import Lineage
from microexpr.core.multitask import TargetValues
from microexpr.core.progress import Progress, Silent
from microexpr.data.cache import Cache, Views
from microexpr.data.composite import Composite
from microexpr.learning.checkpoint import lineage_of
from microexpr.runs.compatibility import (
    check_colour,
    check_targets,
    check_training,
    fitting,
    known_targets,
    misshapen,
    no_view,
)
from microexpr.runs.validation_split import cut_val, keep_train


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: none of it changes a result, except clips left out, which are listed."""

    data: Mapping[str, Path | Recordings]
    """Folder of each database, or recordings that are open already, by its registered name."""
    out: Path = Path()
    """Folder for results and caches; made when there is something to write."""
    skip_invalid: bool = False
    """Go on without clips that have faults."""
    allow_cropped: bool = False
    """Take frames that the owners cropped for preprocessings that want raw ones."""
    keep_weights: bool = False
    workers: int = 1
    """Processes that read frames and find faces."""
    jobs: int = 1
    """Folds that are trained at once, each by a process of its own with its share of the cores."""


@dataclass
class Data:
    """The databases as one experiment sees them: the clips its label set keeps, and their table."""

    dataset: Recordings
    modality: str
    labels: LabelSet
    clips: list[Clip]
    cache: Cache
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    """Clips that the label set leaves out, by emotion."""
    skipped: list[Fault] = field(default_factory=list)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The clip table (labels.clip_table)."""
        return clip_table(self.clips, self.labels)

    @property
    def label_warnings(self) -> list[CountWarning]:
        """Databases of which the label set keeps no clip, or another number than was published of it."""
        bad = {fault.clip for fault in self.skipped}
        clips = (clip for clip in self.dataset.clips() if clip.key not in bad)
        return self.labels.count_warnings(clips, synthetic="synthetic" in self.dataset.metadata())

    def leave_out(self, faults: Sequence[Fault]) -> None:
        """Drop the clips with faults; they stand in `skipped`."""
        self.skipped.extend(faults)
        bad = {fault.clip for fault in faults}
        self.clips = [clip for clip in self.clips if clip.key not in bad]
        self.__dict__.pop("table", None)


@dataclass(frozen=True)
class Plan:
    """One experiment with everything built and checked, ready to be run."""

    experiment: Experiment
    data: Data
    preprocessor: Preprocessor
    sampler: Sampler
    model: contracts.ModelFn
    spec: ViewSpec
    frame_size: tuple[int, int]
    """Height and width of preprocessed frames."""
    weights: Mapping[str, str]

    @property
    def key(self) -> str:
        """The experiment's key; the weights it starts from are part of it."""
        metadata = {name: self.weights[name] for name in ("sha256",) if name in self.weights}
        resolved = self.experiment.model_copy(update={"modality": self.data.modality})
        return resolved.key(**(metadata or {"weights": self.weights.get("weights", "none")}))

    @property
    def metric(self) -> contracts.Metric:
        """The score that chooses: macro-F1, as in the paper."""
        return contracts.metrics.build("macro_f1", {})

    @property
    def table(self) -> pd.DataFrame:
        """The clip table; its labels are permuted between clips where the experiment says so.

        Never kept: clips may be left out as long as frames are being read, and rows must follow.
        """
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
        """What the weights that it starts from were trained on, as far as a file that the user names says it.

        Random weights were trained on nothing, and published ones on no database of micro-expressions.
        """
        weights = contracts.models.bind(self.experiment.model.name, self.experiment.model.params).get("weights")
        named = isinstance(weights, str) and weights.endswith(".safetensors")
        return lineage_of(Path(str(weights)).expanduser()) if named else Lineage()

    def targets(self) -> dict[str, TargetValues]:
        """Return what is learnt beside the class, by the target's name: a row a clip; raises UnfitError."""
        return known_targets(self.experiment, self.data.clips)

    @property
    def aux(self) -> dict[str, int]:
        """Target -> number of its outputs."""
        return {name: len(target.names) for name, target in self.targets().items()}

    def folds(self) -> list[Fold]:
        """Return the protocol's folds, validation cut where this experiment chooses, training as small as it asks for.

        Raises SplitError.
        """
        experiment, table = self.experiment, self.table
        protocol = experiment.protocol.build(contracts.protocols)
        folds = list(protocol(table, rng_for(experiment.seed, "split")))
        if experiment.selects and self.model.trains_in_epochs:
            folds = [fold if fold.val is not None else cut_val(fold, table, experiment) for fold in folds]
        return [keep_train(fold, table, experiment) for fold in folds]

    def views(self) -> Views:
        """Return the views of all clips from the cache."""
        return self._views(self._represented)

    def _views(self, represented: str) -> Views:
        name = preprocessing_id(self.experiment.preprocessing)
        return self.data.cache.views(name, self.data.clips, self.sampler, self.representation, represented)

    def represent(self, workers: int, progress: Progress) -> None:
        """Compute the representation of every view that the cache lacks, where it is dear."""
        if self._represented:
            self.data.cache.represent(self._views(""), self._represented, workers, progress)

    @property
    def representation(self) -> contracts.Representation:
        """What turns frames into the model's input."""
        return contracts.representations.build(
            self.experiment.representation.name, self.experiment.representation.params
        )

    @property
    def finest(self) -> tuple[int, int] | None:
        """How often DIS halves the frames before it finds flow, and how often it was set to; None without DIS."""
        representation: Any = self.representation
        if getattr(representation, "method", "") != "dis":
            return None
        return motion.finest_scale(*self.frame_size, representation.finest), representation.finest

    @property
    def _represented(self) -> str:
        """Return the name under which computed views are kept; empty where they are not."""
        if not self.representation.cached:
            return ""
        registry, part = contracts.representations, self.experiment.representation
        params = registry.bind(part.name, part.params)
        shown = preprocessing_id(self.experiment.preprocessing)
        # Views of several lengths differ in shape, and one file holds one shape.
        return f"{part.name}/{digest([shown, registry.revision(part.name), params, self.spec.shape])}"

    def view_counts(self) -> Int[np.ndarray, "n"]:
        """Return how many views each clip gives."""
        return np.array([len(self.sampler(clip)) for clip in self.data.clips])


@dataclass
class Done:
    """The folds that a run trained, and those that it found stored, by key and name."""

    trained: set[tuple[str, str]] = field(default_factory=set)
    stored: set[tuple[str, str]] = field(default_factory=set)

    def summary(self) -> dict[str, Any]:
        """Return how many were ``trained`` and ``reused``, and what could not be recognised (``unknown``)."""
        reused = self.stored - self.trained
        return {"trained": len(self.trained), "reused": len(reused), "unknown": contracts.unknown()}


@dataclass
class Workspace:
    """What experiments that run together share: opened databases, their frames, the results' folder."""

    options: Options
    progress: Progress = field(default_factory=Silent)
    done: Done = field(default_factory=Done)
    _data: dict[str, Data] = field(default_factory=dict)
    _specs: dict[tuple[object, ...], tuple[ViewSpec, tuple[int, int]]] = field(default_factory=dict)

    def plan(self, experiment: Experiment, *, weights: bool = True) -> Plan:
        """Check an experiment against its database; raises ConfigError, DataError, SplitError or WeightsError.

        With `weights = False` pretrained weights that are not at hand are noted, not refused.
        """
        experiment.check()
        data = self._open(experiment)
        preprocessor = experiment.preprocessing.build(contracts.preprocessors)
        if preprocessor.requires_uncropped and data.dataset.cropped() and not self.options.allow_cropped:
            raise DataError(
                "E201",
                f"preprocessing {experiment.preprocessing.label} wants raw frames, but this folder holds faces that "
                "its owners cropped. Point --data at the raw frames, or accept it with --allow-cropped, which the "
                "report then states.",
            )
        sampler = experiment.sampling.build(contracts.samplers)
        unsampled = [fault for clip in data.clips for fault in _unsampled(clip, sampler)]
        if len(unsampled) == len(data.clips):
            raise IncompatibleError(
                "E401", f"sampling {experiment.sampling.label} fits no clip: {unsampled[0].problem}"
            )
        bad = {fault.clip for fault in unsampled}
        clips = [clip for clip in data.clips if clip.key not in bad]
        experiment.vote.build(contracts.votes)  # impossible parameters are told before anything is trained
        model = experiment.model.build(contracts.models)
        shown = (
            id(data),
            *(part.label for part in (experiment.preprocessing, experiment.sampling, experiment.representation)),
        )
        if shown not in self._specs:
            self._specs[shown] = self._spec(experiment, data, clips, preprocessor, sampler)
        spec, frame_size = self._specs[shown]
        unlike = misshapen(experiment, clips, sampler)
        with fitting(clips):
            check_colour(experiment, data.dataset.modalities()[data.modality].channels, spec)
            check_training(experiment, model, spec)
            found = _weights(model, spec, required=weights)
        # Only now: a method that does not fit takes no clip from the others.
        self._leave_out(data, [*unsampled, *unlike])
        plan = Plan(experiment, data, preprocessor, sampler, model, spec, frame_size, found)
        check_targets(plan.targets(), plan.folds())
        return plan

    def prepare(self, plans: Sequence[Plan]) -> None:
        """Preprocess every frame that the plans need and the cache lacks; raises DataError with all faulty clips.

        Representations that are dear are computed as well.
        """
        for data in {id(plan.data): plan.data for plan in plans}.values():
            wanted: dict[str, tuple[str, Preprocessor, dict[int, list[int]]]] = {}
            for plan in plans:
                if plan.data is data:
                    name = preprocessing_id(plan.experiment.preprocessing)
                    _, _, numbers = wanted.setdefault(name, (name, plan.preprocessor, {}))
                    for row, clip in enumerate(data.clips):
                        shown = {number for view in plan.sampler(clip) for number in view}
                        numbers[row] = sorted(shown.union(numbers.get(row, ())))
            faults = data.cache.prepare(list(wanted.values()), data.clips, self.options.workers, self.progress)
            self._leave_out(data, faults)
            if faults:  # with fewer clips a protocol may be impossible: that is told before anything is trained
                for plan in plans:
                    plan.folds()
        for plan in plans:
            plan.represent(self.options.workers, self.progress)

    def _open(self, experiment: Experiment) -> Data:
        names = " + ".join(chosen.label for chosen in experiment.datasets)
        key = f"{names}|{experiment.modality}|{experiment.labels}"
        if key not in self._data:
            self._data[key] = self._read(names, experiment)
        return self._data[key]

    def _read(self, names: str, experiment: Experiment) -> Data:
        readers = {chosen.label: self._reader(chosen) for chosen in experiment.datasets}
        if len(readers) < len(experiment.datasets):
            raise ConfigError("E104", f"datasets: one of {names} is listed twice.")
        dataset: Recordings = Composite(readers) if len(readers) > 1 else next(iter(readers.values()))
        faults = dataset.faults()
        fatal = [fault for fault in faults if fault.clip is None]
        bad = {fault.clip for fault in faults}
        keys = bad | {clip.key for clip in dataset.clips()}  # a row that cannot be read is no clip
        if fatal or (faults and (keys == bad or not self.options.skip_invalid)):
            places = [self.options.data[chosen.name] for chosen in experiment.datasets]
            roots = [str(place) for place in places if isinstance(place, Path)]
            raise DataError("E201", _told(faults, keys, ", ".join(dict.fromkeys(roots))), faults)
        modalities = dataset.modalities()
        if not modalities:
            raise ConfigError(
                "E104", f"datasets: {names} record nothing alike; take databases with a modality in common."
            )
        modality = experiment.modality or next(iter(modalities))
        if modality not in modalities:
            raise IncompatibleError(
                "E401", f"modality: {modality!r} is not in {names}; it has {', '.join(modalities)}."
            )
        labels = label_set(experiment.labels, dataset.clips())
        clips = [clip for clip in dataset.clips() if labels.of(clip) is not None]
        left_out = Counter(clip.emotion or "none" for clip in dataset.clips() if labels.of(clip) is None)
        if not clips:
            raise DataError("E201", f"{names}: label set {labels.name!r} keeps none of its clips.")
        revisions = {chosen.name: contracts.datasets.revision(chosen.name) for chosen in experiment.datasets}
        outside = tuple(f"{name}/{revision}" for name, revision in revisions.items() if isinstance(revision, str))
        cache = Cache(dataset, modality, self.options.out / "cache", dataset.fingerprint(), readers=outside)
        data = Data(dataset, modality, labels, clips, cache, left_out)
        self._leave_out(data, faults)
        return data

    def _reader(self, chosen: Component) -> Recordings:
        if chosen.name not in self.options.data:
            raise ConfigError(
                "E104", f"where is {chosen.name}? Say --data {chosen.name}=DIR, or --data DIR with one database."
            )
        place, params = self.options.data[chosen.name], contracts.datasets.bind(chosen.name, chosen.params)
        return contracts.datasets.get(chosen.name)(place, **params) if isinstance(place, Path) else place

    def _leave_out(self, data: Data, faults: Sequence[Fault]) -> None:
        keys = {clip.key for clip in data.clips}
        if faults and (not self.options.skip_invalid or keys <= {fault.clip for fault in faults}):
            raise DataError("E201", _told(faults, keys), faults)
        if faults:
            data.leave_out(faults)

    def _spec(
        self,
        experiment: Experiment,
        data: Data,
        clips: Sequence[Clip],
        preprocessor: Preprocessor,
        sampler: Sampler,
    ) -> tuple[ViewSpec, tuple[int, int]]:
        """Find out what the model will see, and of frames of which size, by one view of the first clip that can be."""
        representation = experiment.representation.build(contracts.representations)
        modality = data.dataset.modalities()[data.modality]
        failed = None
        for clip in clips:
            view = sampler(clip)[0]
            try:
                with fitting():
                    frames = preprocessor(data.cache.frames(clip), view)
            except DataError as error:
                failed = (clip, error)
                continue
            with fitting():
                given = representation.output_spec(modality._replace(channels=frames.channels))
            if len(view) >= representation.min_frames:
                height, width = frames.pixels.shape[1:3]
                return ViewSpec(representation(frames, view, clip).shape, *given), (height, width)
        raise no_view(experiment, representation.min_frames, clips, failed)


def check_intervals(plan: Plan) -> None:
    """Raise ConfigError where the test clips cannot give the intervals that were asked for."""
    settings = plan.experiment.bootstrap
    tested = np.unique(np.concatenate([fold.test for fold in plan.folds()]))
    subjects = plan.table["subject"].to_numpy()[tested]
    if settings.unit == "subject" and len(set(subjects)) < 2:
        raise ConfigError(
            "E104",
            f'bootstrap.unit = "subject": all {len(tested)} test clips are of one subject, {subjects[0]}, and nothing '
            'follows from one subject for others. Test on several, or set bootstrap.unit = "clip": such an interval '
            "speaks of further clips of this subject alone.",
        )
    if settings.method != "percentile" and len(tested) < 2:
        raise ConfigError(
            "E104",
            f'bootstrap.method = "{settings.method}" needs at least two test clips, and there is one. '
            'Test on more, or set bootstrap.method = "percentile".',
        )


def preprocessing_id(component: Component) -> str:
    """Return the canonical form of a preprocessing, under which its frames are cached."""
    registry = contracts.preprocessors
    params = registry.bind(component.name, component.params)
    detector = contracts.detectors.revision(params["detector"]) if "detector" in params else 0
    if "of" in params:
        params["of"] = preprocessing_id(Component.model_validate(params["of"]))
    return f"{component.name}/{digest([registry.revision(component.name), detector, params])}"


def _weights(model: contracts.ModelFn, spec: ViewSpec, *, required: bool) -> Mapping[str, str]:
    try:
        return model.check(spec)
    except NoWeightsError:
        if required:
            raise
        return {"weights": "not at hand"}


def _unsampled(clip: Clip, sampler: Sampler) -> Iterator[Fault]:
    try:
        sampler(clip)
    except DataError as error:
        yield Fault("E201", clip.key, of_clip(error, clip.key), "take a sampling that does not need it", clip.key)


def _told(faults: Sequence[Fault], keys: Collection[str | None], roots: str = "") -> str:
    """Return the head of a list of faults; leaving clips out is suggested only where that leaves some of `keys`."""
    where = f" in {roots}" if roots else ""
    bad = {fault.clip for fault in faults}
    if None not in bad and bad.issuperset(keys):
        every = f"all {len(keys)} clips have faults" if len(keys) > 1 else "the only clip has faults"
        return f"{every}, so nothing is left to run; fix them{where}:"
    way = "" if None in bad else ", or leave their clips out with --skip-invalid"
    return f"{many(len(faults), 'fault')}{where}; fix {'it' if len(faults) == 1 else 'them'}{way}:"
