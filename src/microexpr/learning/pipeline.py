"""From the frames of clips to their labels: one object with every step of a trained model, stored with its weights."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.config.settings import Precision
from microexpr.core import interfaces
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError, MicroexprError, StoreError
from microexpr.core.interfaces import (
    ClipSource,
    FrameSource,
    ModelFn,
    Preprocessor,
    Representation,
    Sampler,
    View,
    ViewSpec,
    Vote,
)
from microexpr.core.labels import AS_GIVEN, label_set
from microexpr.core.lineage import Lineage
from microexpr.core.multitask import PREDICTED
from microexpr.core.parallel import begin_run
from microexpr.core.processor import native_bf16
from microexpr.core.progress import Progress, Silent, track
from microexpr.core.words import many
from microexpr.data.cache import Views
from microexpr.data.journal import Journal
from microexpr.data.reading import ReadClip, Reading, Stack
from microexpr.data.sources import ArrayClips, Inputs, open_sources
from microexpr.evaluation.predictions import fitted, voted
from microexpr.learning import checkpoint, exported, learners
from microexpr.learning.device import device, has_bf16
from microexpr.learning.graph import RUNTIMES, Runtime, installed, open_graph, preferred, require
from microexpr.learning.learners import Learner, Prediction

FORMAT = 3
"""Of the card; 1 was version 0.1, 2 lacks the fitted vote and the modality. All are read."""
WEIGHTS, CARD = "model.safetensors", "card.json"
STEPS = ("preprocessing", "sampling", "representation")
"""Parts of an experiment that a card must name: their defaults would predict something else without a word."""
RuntimeName: TypeAlias = Literal["auto", "torch", "openvino", "onnx"]
"""What computes a model's predictions; `auto`: see `Pipeline.load`."""
MakeLearner: TypeAlias = Callable[[Experiment, ViewSpec, int, Mapping[str, int]], Learner]
"""(experiment, the model's input, number of classes, auxiliary target -> number of its outputs) -> learner."""
KNOWN_FRAMES = "trained on these frames"
KNOWN_SUBJECT = "trained on this subject"
OTHER_CROP = "trained on {} frames, but these are {} (by the owners of the database)"
UNRECORDED = "what the model was trained on is not recorded"


@dataclass(frozen=True)
class Pipeline:
    """Preprocessing, sampling, representation, model, vote and classes of one trained model."""

    experiment: Experiment
    learner: Learner
    classes: tuple[str, ...]
    spec: ViewSpec
    """The model's input."""
    modality: str
    """Name of the modality that it was trained on."""
    channels: tuple[str, ...]
    """Channels of this modality; empty if a card of an earlier version does not say."""
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Auxiliary target -> names of its outputs."""
    vote: Vote | None = None
    """The vote, if it was fitted; None: that of the experiment."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """What was stored with the model; empty before it is stored."""
    lineage: Lineage = field(default_factory=Lineage)
    """What it was trained on."""

    # --- files --------------------------------------------------------------------------------------------------------
    @classmethod
    def load(cls, place: Path | str, *, runtime: RuntimeName = "auto", progress: Progress | None = None) -> Pipeline:
        """Read a model: what `microexpr fit` stored, the kept weights of a fold, or what `microexpr export` wrote.

        With the runtime `auto`, an exported graph of a stored model computes if there is one beside it that is sound
        and came from these weights, its runtime is installed, and torch has no CUDA; otherwise torch does. With
        `openvino` or `onnx`, a graph that is missing or came from other weights is exported first. Raises StoreError,
        and ConfigError for a runtime that cannot be used.
        """
        place = Path(place).expanduser()
        if runtime not in (known := ("auto", "torch", *RUNTIMES)):
            raise ConfigError("E112", f"runtime = {runtime!r} is not known; write one of {', '.join(known)}.")
        if is_graph(place):
            return cls._load_graph(place, exported.read(place), runtime)
        file = weights_file(place)
        if runtime == "auto":
            if graph := cls._usable_graph(place, file):
                return graph
        elif runtime != "torch":
            return cls._load_graph(*_graph_of(place, file, runtime, progress), runtime)
        stored = checkpoint.read(file)
        card = dict(stored.card)
        if place.is_dir():
            _compare_cards(place / CARD, card)
        pipeline = cls._described(card, file, untrained)
        pipeline.learner.restore(stored, file)
        return replace(pipeline, lineage=checkpoint.lineage_of(file))

    @classmethod
    def _usable_graph(cls, place: Path, file: Path) -> Pipeline | None:
        """Read the exported graph of the model with the weights `file`; None if torch is to compute the model.

        Graphs compute on the CPU, so none is used where torch has CUDA.
        """
        if device().type != "cpu":
            return None
        for runtime in filter(installed, sorted(RUNTIMES, key=lambda each: each != preferred())):
            folder = exported.default_folder(place, runtime)
            with suppress(MicroexprError):  # a graph that is missing or damaged is no fault of the model
                card = exported.read(folder)
                if exported.came_from(card, file):
                    return cls._load_graph(folder, card, runtime)
        return None

    @classmethod
    def _load_graph(cls, folder: Path, card: Mapping[str, Any], runtime: str) -> Pipeline:
        """Read an exported model, whose files were checked when its card was read."""
        section = card[exported.SECTION]
        if runtime not in ("auto", found := section["runtime"]):
            raise ConfigError(
                "E161",
                f"{folder} was exported for {found} and cannot be computed by {runtime}; leave out the runtime, or "
                "name the model that it came from.",
            )
        precision: Precision = section["precision"] if native_bf16() else "float32"
        graph = open_graph(folder, found, precision, torch.get_num_threads())

        def learner(experiment: Experiment, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> Learner:
            return learners.ExportedNetwork(
                graph, num_classes, experiment.training, tuple(aux), card.get("normalisation", "")
            )

        return replace(cls._described(card, folder / CARD, learner), lineage=exported.lineage_of(folder))

    @classmethod
    def _described(cls, card: Mapping[str, Any], file: Path, learner: MakeLearner) -> Pipeline:
        """Return the pipeline that a card describes, with the learner that `learner` makes; `file` is for messages."""
        if card.get("format") not in range(1, FORMAT + 1):
            raise StoreError(
                "E602",
                f"the card of {file} has format {card['format']}, but this version of microexpr reads formats 1 to "
                f"{FORMAT}: use the version that wrote it, or fit the model again."
                if "format" in card
                else f"{file} does not say how its model predicts, as weights of folds did in version 0.1; run the "
                "experiment again with --keep-weights.",
            )
        try:
            if missing := [name for name in STEPS if name not in card["experiment"]]:
                raise StoreError(
                    "E605",
                    f"the card of {file} does not say which {' and '.join(missing)} its model needs; copy the model "
                    "again, or fit it again.",
                )
            experiment, view = parse(Experiment, card["experiment"], str(file)), card["view"]
            low, high = map(float, view["range"])
            time, height, width, count = map(int, view["shape"])
            spec = ViewSpec((time, height, width, count), tuple(view["channels"]), low, high, view.get("scaling", ""))
            targets = {str(name): tuple(units) for name, units in card.get("targets", {}).items()}
            classes = tuple(map(str, card["classes"]))
            vote = Component.model_validate(card.get("vote", experiment.vote.to_toml())).build(interfaces.votes)
            modality, channels = str(card.get("modality") or experiment.modality or ""), card.get("channels", ())
            aux = {name: len(units) for name, units in targets.items()}
            made = learner(experiment, spec, len(classes), aux)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise StoreError("E605", f"the card of {file} is damaged; copy the model again, or fit it again.") from None
        except ConfigError as error:
            raise StoreError(
                "E653",
                f"{file} uses a component that is not available here: {error} Import the module that registers it "
                "before the model is loaded.",
            ) from None
        if "vote" not in card and isinstance(vote, interfaces.TrainableVote):
            raise StoreError("E602", f"{file} was stored without its learnt vote by an earlier version; fit it again.")
        return cls(experiment, made, classes, spec, modality, tuple(channels), targets, vote, card)

    def save(self, file: Path, further: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Write the weights with their card, which also holds `further` entries, and return the card.

        Raises ConfigError for a fitted vote whose state is not made of its parameters.
        """
        card = {
            **self.card,
            "format": FORMAT,
            "experiment": self.experiment.to_dict(),
            "classes": list(self.classes),
            "targets": {name: list(units) for name, units in self.targets.items()},
            "modality": self.modality,
            "channels": list(self.channels),
            "view": {
                "shape": list(self.spec.shape),
                "channels": list(self.spec.channels),
                "range": [self.spec.low, self.spec.high],
                "scaling": self.spec.scaling,
            },
            "vote": self._stored_vote(),
            "normalisation": self.learner.normalisation,
            **(further or {}),
        }
        self.learner.save(file, card, self.lineage)
        return card

    def _stored_vote(self) -> Any:
        check_storable(self.experiment)
        vote: Any = self._vote
        learns = isinstance(self._vote, interfaces.TrainableVote)
        learnt = asdict(vote) if learns else self.experiment.vote.params
        return {"name": self.experiment.vote.name, **learnt}

    # --- steps --------------------------------------------------------------------------------------------------------
    @cached_property
    def preprocessor(self) -> Preprocessor:
        """From source frames to frames of one size."""
        built: Preprocessor = self.experiment.preprocessing.build(interfaces.preprocessors)
        return built

    @cached_property
    def sampler(self) -> Sampler:
        """From a clip to the frame numbers of its views."""
        built: Sampler = self.experiment.sampling.build(interfaces.samplers)
        return built

    @cached_property
    def representation(self) -> Representation:
        """From the frames of a view to the model's input."""
        built: Representation = self.experiment.representation.build(interfaces.representations)
        return built

    def predict_views(self, views: Views, indices: Int[np.ndarray, "n"]) -> pd.DataFrame:
        """Predict views that are in a cache.

        Columns: clip, subject, frames, ``p_0 .. p_(k-1)`` and ``predicted:TARGET:UNIT`` for auxiliary targets.
        """
        clips = [views.clips[row] for row in views.clip_rows[indices]]
        numbers = [views.numbers[int(index)] for index in indices]
        return self._table(clips, numbers, self._outputs(self.learner.predict(views, indices)))

    def fit_vote(self, views: pd.DataFrame) -> Pipeline:
        """Return this pipeline with the vote fitted to the training or validation views of a fold."""
        return replace(self, vote=fitted(self._vote, views))

    def vote_on(self, views: pd.DataFrame) -> pd.DataFrame:
        """Return one row per clip: clip, subject, y_true, y_pred, ``p_0 .. p_(k-1)``; `views` also have y_true."""
        return voted(views, self._vote, len(self.classes))

    @property
    def _vote(self) -> Vote:
        built: Vote = self.vote if self.vote is not None else self.experiment.vote.build(interfaces.votes)
        return built

    @property
    def _columns(self) -> list[str]:
        """Names of the values that the model gives for a view."""
        units = [f"{PREDICTED}:{name}:{unit}" for name, units in self.targets.items() for unit in units]
        return [*(f"p_{number}" for number in range(len(self.classes))), *units]

    def _outputs(self, prediction: Prediction) -> Float[np.ndarray, "n m"]:
        return np.concatenate([prediction.proba, *(prediction.aux[name] for name in self.targets)], axis=1)

    def _table(self, clips: Sequence[Clip], numbers: Sequence[View], values: Float[np.ndarray, "n m"]) -> pd.DataFrame:
        named = {column: values[:, number] for number, column in enumerate(self._columns)}
        keys, subjects = [clip.key for clip in clips], [clip.subject for clip in clips]
        return pd.DataFrame({"clip": keys, "subject": subjects, "frames": [list(each) for each in numbers], **named})

    # --- prediction ---------------------------------------------------------------------------------------------------
    def predict(
        self, what: Inputs, *, workers: int = 2, progress: Progress | None = None, journal: Path | None = None
    ) -> pd.DataFrame:
        """Predict every clip of databases, manifests, folders of frames or arrays: one row per clip.

        Columns: key, subject, coded (the class in the database's table, empty if it has none of this model's), label
        (the predicted class, empty if the clip could not be used), ``p_CLASS`` for each class,
        ``predicted:TARGET:UNIT`` for auxiliary targets, and notes: why a clip could not be used, and whether the model
        was trained on its frames or its subject. Memory does not grow with the number of clips: views are predicted in
        batches of the size used in training. `workers` processes read and preprocess frames. With a `journal`, a file
        that the caller removes once the table is stored, the same call continues where an interrupted one stopped.

        Raises DataError if nothing can be read or no clip can be used, UsageError for a path that does not exist.
        """
        if workers < 1:
            raise ConfigError("E131", f"workers = {workers}: at least one process is needed.")
        begin_run()
        sources = open_sources(what, self.experiment.datasets)
        known: Any = [getattr(source, "fingerprint", None) for source in sources]  # arrays have none
        kept = Journal(journal, [self.card, [each() for each in known]]) if journal and all(known) else None
        tables = [
            self._predict(source, workers, progress or Silent(), number, kept) for number, source in enumerate(sources)
        ]
        table = pd.concat(tables, ignore_index=True)
        if not (table["label"] != "").any():
            codes = table["notes"].str.extract(r"\[(E\d+)\]", expand=False)
            reasons = "".join(
                f"\n  {many(len(group), 'clip')}: {group['key'].iloc[0]}: {group['notes'].iloc[0]}"
                for _, group in table.groupby(codes, sort=False)
            )
            raise DataError("E470", f"no clip can be predicted; for each reason, the first clip:{reasons}")
        return table

    def _predict(
        self, source: FrameSource, workers: int, progress: Progress, number: int, journal: Journal | None
    ) -> pd.DataFrame:
        """Predict the clips of source `number`, except for those in the journal, and add them to it at once."""
        clips, faults = source.clips(), {fault.clip: fault for fault in source.faults(table_only=True)}
        modalities = source.modalities()
        modality = min(modalities, key=lambda name: (modalities[name].channels != self.channels, name != self.modality))
        workers = 1 if isinstance(source, ArrayClips) else workers  # arrays would be copied to every process
        reading = Reading(source, modality, self.preprocessor, self.sampler, self.representation, self.spec)
        rows = {row["clip"]: row for row in (journal.rows if journal else []) if row["source"] == number}
        usable = [clip for clip in clips if clip.key not in faults and clip.key not in rows]
        ready = track(reading.read(usable, workers), len(usable), "clips", progress)
        crop = self._other_crop(source)
        for each, values in self._in_batches(ready):
            row = {
                "source": number,
                "clip": each.clip.key,
                "views": [list(view) for view in each.numbers],
                "values": values.tolist(),
                "note": each.problem or "; ".join([*crop, *self._known(each)]),
            }
            rows[each.clip.key] = row
            if journal and not each.problem:  # what is wrong may be corrected before the next call
                journal.add(row)
        parts = [
            self._table([clip] * len(row["views"]), list(map(tuple, row["views"])), np.array(row["values"]))
            for clip in clips
            if (row := rows.get(clip.key, {})) and row["views"]
        ]
        notes = {str(fault.clip): f"{fault.problem} [{fault.code}]" for fault in faults.values()}
        notes |= {key: row["note"] for key, row in rows.items()}
        return self._clip_table(clips, pd.concat(parts, ignore_index=True) if parts else None, notes)

    def _in_batches(self, ready: Iterable[ReadClip]) -> Iterator[tuple[ReadClip, Float[np.ndarray, "v m"]]]:
        """Yield each clip with the values of its views; views of several clips are predicted together, as in a fold."""
        size = self.learner.batch
        waiting: deque[ReadClip] = deque()
        inputs: list[np.ndarray] = []
        values: list[np.ndarray] = []

        def finished() -> Iterator[tuple[ReadClip, np.ndarray]]:
            while waiting and len(values) >= len(waiting[0].inputs):
                clip = waiting.popleft()
                count = len(clip.inputs)
                yield clip, np.array(values[:count]).reshape(count, len(self._columns))
                del values[:count]

        def predict(count: int) -> None:
            batch = Stack(np.stack(inputs[:count]), self.spec)
            values.extend(self._outputs(self.learner.predict(batch, np.arange(len(batch)))))
            del inputs[:count]

        for each in ready:
            waiting.append(each)
            inputs.extend(each.inputs)
            while len(inputs) >= size:
                predict(size)
            yield from finished()
        if inputs:
            predict(len(inputs))
        yield from finished()

    def _known(self, clip: ReadClip) -> list[str]:
        """Return what the lineage says about a clip."""
        if self.lineage.has_any(clip.hashes):
            return [KNOWN_FRAMES]
        if clip.clip.subject and self.lineage.knows(clip.clip.subject):
            return [KNOWN_SUBJECT]
        return [] if self.lineage.complete else [UNRECORDED]

    def _other_crop(self, source: FrameSource) -> list[str]:
        """Return a note if the owners cropped these frames and not those of the training, or the reverse."""
        before = self.card.get("cropped")
        if before is None or not isinstance(source, ClipSource) or source.cropped() == before:
            return []
        return [OTHER_CROP.format(*("cropped" if each else "uncropped" for each in (before, source.cropped())))]

    def _clip_table(self, clips: Sequence[Clip], views: pd.DataFrame | None, notes: Mapping[str, str]) -> pd.DataFrame:
        """Return one row per clip; `notes` may name further clips, which the source could not read."""
        columns, units = self._columns[: len(self.classes)], self._columns[len(self.classes) :]
        known = [{"key": clip.key, "subject": clip.subject, "coded": self._coded(clip)} for clip in clips]
        table = pd.DataFrame(known, columns=["key", "subject", "coded"]).set_index("key")
        table = table.reindex(list(dict.fromkeys([*table.index, *notes])), fill_value="")
        if views is None:
            table = table.assign(label="", **dict.fromkeys([*columns, *units], np.nan))
        else:
            predicted = self.vote_on(views.assign(y_true=-1)).set_index("clip")
            labels = predicted["y_pred"].map(dict(enumerate(self.classes)))
            table = table.join(labels.rename("label")).join(predicted[columns])
            table = table.join(views.groupby("clip")[units].mean()) if units else table
        table["label"] = table["label"].fillna("")
        table["notes"] = [notes.get(key, "") for key in table.index]
        return table.rename(
            columns=dict(zip(columns, (f"p_{name}" for name in self.classes), strict=True))
        ).reset_index()

    def _coded(self, clip: Clip) -> str:
        """Return the class of a clip in the database's own table, empty if it is none of this model's."""
        if self.experiment.labels == AS_GIVEN:
            return clip.emotion if clip.emotion in self.classes else ""
        return label_set(self.experiment.labels, ()).of(clip) or ""


def check_storable(experiment: Experiment) -> None:
    """Raise ConfigError if a model of this experiment cannot be stored, because of what its vote learns."""
    vote = experiment.vote.build(interfaces.votes)
    if isinstance(vote, interfaces.TrainableVote) and not is_dataclass(vote):
        raise ConfigError(
            "E118",
            f"vote {experiment.vote.name!r} cannot be stored with a model: what it learns must be parameters of a "
            "dataclass, as in learnt_temporal.",
        )


def weights_file(place: Path) -> Path:
    """Return the file with the weights of a stored model, given by its folder or itself; raises StoreError."""
    file = place if place.suffix == ".safetensors" and not place.is_dir() else place / WEIGHTS
    if not file.is_file():
        raise StoreError("E606", f"{place} holds no model: {file.name} is missing. `microexpr fit` creates one.")
    return file


def is_graph(place: Path) -> bool:
    """Whether a place is the folder of an exported model, without the weights that it came from."""
    return place.is_dir() and not (place / WEIGHTS).is_file() and exported.is_exported(place)


def _graph_of(place: Path, file: Path, runtime: Runtime, progress: Progress | None) -> tuple[Path, Mapping[str, Any]]:
    """Return folder and card of a stored model's graph, which is exported first if it is missing or of other weights.

    Raises StoreError for a graph that is damaged or of a newer format, since its precision may not be known.
    """
    require(runtime)
    folder = exported.default_folder(place, runtime)
    precision: Precision = "float32"
    if exported.is_exported(folder):
        card = exported.read(folder)
        if exported.came_from(card, file):
            return folder, card
        precision = card[exported.SECTION]["precision"] if native_bf16() else "float32"
    from microexpr.learning.export import export

    folder = export(place, to=runtime, precision=precision, progress=progress).folder
    return folder, exported.read(folder)


def untrained(experiment: Experiment, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> Learner:
    """Return the learner of an experiment with random weights, into which stored weights can be loaded."""
    factory, training = without_weights(experiment.model), experiment.training
    if not has_bf16():  # emulation would be slower than float32
        training = training.model_copy(update={"precision": "float32"})
    return learners.make(lambda: factory(view, num_classes, aux), num_classes, training)


def without_weights(model: Component) -> ModelFn:
    """Return a model with random weights in place of those that it starts from."""
    params = interfaces.models.bind(model.name, model.params)
    if "weights" in params:
        params["weights"] = "random"
    built: ModelFn = interfaces.models.get(model.name)(**params)
    return built


def _compare_cards(file: Path, card: Mapping[str, Any]) -> None:
    """Raise StoreError if the card beside the weights is missing, damaged or another model's."""
    if not file.is_file():
        raise StoreError("E606", f"{file.parent} holds no complete model: {file.name} is missing. Copy it again.")
    beside = read_card(file)
    if beside != card:
        raise StoreError(
            "E651",
            f"{file} describes another model than {WEIGHTS} beside it, which has its own card inside: copy both files "
            "of one model.",
        )


def read_card(file: Path) -> dict[str, Any]:
    """Return the content of a card.json; raises StoreError."""
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        raise StoreError("E605", f"{file} is damaged; copy the model again, or remove it and fit it again.") from None
