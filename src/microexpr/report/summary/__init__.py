"""The typed summary: every number that a page shows, as `summary.json`, `comparison.json` and `tuning.json` hold it.

The modules of this package compute summaries from results; pages see the types below and nothing else. A value that was
not measured is None, never zero. Scores lie in 0..1.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from microexpr.config.published import Disagreement as Disagreement
from microexpr.config.published import Published as Published
from microexpr.config.scores import title
from microexpr.core.errors import StoreError
from microexpr.core.words import capitalised
from microexpr.evaluation.statistics.scope import LEVEL, Trained

S = TypeVar("S", bound="Summary")
FORMAT = 4
"""Format of the three files; raised when a key or its meaning changes."""
LINE = 110
"""Largest number of characters of a caveat's line."""
MEAN = "mean"
"""Name of the row of an auxiliary target that holds the mean of its units."""


class Part(BaseModel):
    """A part of a summary."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


# --- what all summaries have ------------------------------------------------------------------------------------------
class Metric(Part):
    """A score as the page names and defines it."""

    title: str
    formula: str
    absent_classes: str
    """The rule for classes without test clips."""


class Caveat(Part):
    """What limits a result: one line, and the explanation where a line is not enough."""

    code: str
    level: Literal["warning", "note"]
    line: str
    """A plain sentence of at most `LINE` characters."""
    text: str = ""
    """The explanation; it continues the line."""

    @classmethod
    def of(cls, code: str, level: Literal["warning", "note"], line: str, text: str = "") -> Caveat:
        """Return a caveat; a line that is too long is cut, and the explanation then begins with it."""
        cut = shorten(line, LINE, placeholder=" …")
        return cls(code=code, level=level, line=cut, text=text if cut == line else f"{line} {text}".strip())


class Intervals(Part):
    """How the intervals of single scores were made."""

    n: int
    """Resamples."""
    unit: Literal["clip", "subject"]
    method: str
    """Display name."""
    level: float
    instead: str | None = None
    """Display name of the method used where the first is undefined."""


class Finding(Part):
    """A finding of the methodological checks (`microexpr check`)."""

    code: str
    level: Literal["warning", "note"]
    sentence: str
    evidence: str
    fix: str


class Skipped(Part):
    """A clip that was excluded because of a fault."""

    where: str | None
    clip: str | None
    problem: str
    fix: str


class Data(Part):
    """The clips."""

    datasets: list[str]
    n_clips: int
    n_subjects: int
    classes: list[str]
    """In the order of every confusion matrix."""
    counts: dict[str, int] = {}
    """Clips of each class."""
    parts: dict[str, dict[str, int]] = {}
    """train, val and test of a hold-out -> clips of each class; empty where folds differ."""
    metadata: dict[str, str] = {}
    fingerprint: str = ""
    corrections: list[str] = []
    skipped: list[Skipped] = []
    synthetic: bool = False


class Run(Part):
    """How many folds and trials a run trained and how many it reused."""

    trained: int = 0
    reused: int = 0
    unknown: list[str] = []
    """Components that cannot be identified, one line each."""
    trials_tried: int | None = None
    trials_reused: int | None = None


class Changed(Part):
    """A clip that only one of two experiments classifies correctly; classes by name."""

    clip: str
    subject: str
    truth: str
    a: str
    b: str


class Paired(Part):
    """Two experiments on the same clips: the difference, its interval, and its tests (`statistics.comparison`)."""

    a: str
    b: str
    metric: str
    n_clips: int
    n_subjects: int
    score_a: float
    score_b: float
    difference: float
    ci_low: float
    ci_high: float
    level: float
    unit: Literal["clip", "subject"]
    resamples: int
    permutations: int
    p_exact: bool
    """Whether all permutations were scored."""
    p_value: float
    p_holm: float | None
    family: int
    significant: bool
    differing: int
    only_a: int
    """Clips that only `a` classifies correctly."""
    only_b: int
    mcnemar_p: float
    wilcoxon_p: float | None
    detectable: float | None
    """Smallest difference that such a test set detects with probability `power`."""
    power: float
    changed: list[Changed]
    notes: list[str]
    trained: Trained
    interval: str
    """How the interval was made, as a clause."""
    test: str
    """How the p-value was made, as a clause."""

    @property
    def p(self) -> float:
        """The p-value to report: Holm's where the comparison is one of several."""
        return self.p_value if self.p_holm is None else self.p_holm


class Summary(Part):
    """What every summary states."""

    format: int = FORMAT
    name: str
    title: str
    command: str
    version: str
    created: str
    caveats: list[Caveat]
    metric: str
    """The score that decides: what is selected on validation clips, drawn and tested."""
    metrics: dict[str, Metric]
    """Every score of the page, in the order in which they are shown."""
    intervals: Intervals
    data: Data
    checks: list[Finding] = []
    environment: dict[str, str]
    run: Run = Run()

    @property
    def lasting(self) -> str:
        """A digest of everything but the command, the time and the run, which differ if a study is run again."""
        return sha256(self.model_dump_json(exclude={"command", "created", "run"}).encode()).hexdigest()

    @property
    def score_title(self) -> str:
        """The display name of the metric."""
        return self.title_of(self.metric)

    def title_of(self, score: str) -> str:
        """Return the display name of a score, such as 'UF1' or 'mean of folds: UF1'."""
        known = self.metrics.get(score)
        return known.title if known else title(score)

    def heading(self, score: str) -> str:
        """Return the same at the beginning of a sentence or a column."""
        name = self.title_of(score)
        return capitalised(name)

    @classmethod
    def read(cls: type[S], file: Path) -> S:
        """Return the summary of a file; raises StoreError where it is damaged or has another format."""
        try:
            text = file.read_text("utf-8")
            given = Versioned.model_validate_json(text).format
        except (OSError, ValueError):
            raise StoreError(
                "E605", f"{file} is damaged; run the same command again: finished folds are not trained again."
            ) from None
        if given != FORMAT:
            raise StoreError(
                "E851",
                f"{file} has format {given}; this version reads format {FORMAT}. Run the same command again: finished "
                "folds are not trained again.",
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise StoreError(
                "E605",
                f"{file} is damaged ({where}: {first['msg']}); run the same command again: finished folds are not "
                "trained again.",
            ) from None


class Versioned(BaseModel):
    """The format number of a file, whatever else it holds."""

    format: int


# --- studies ----------------------------------------------------------------------------------------------------------
class Place(Part):
    """Which experiment: its compared components, and its level of every axis of the grid."""

    preprocessing: str
    sampling: str
    model: str
    factors: dict[str, str] = {}


class Scored(Part):
    """The scores of some predictions over test clips, with the interval of the summary's metric."""

    score: float
    """By the summary's metric."""
    ci_low: float | None
    ci_high: float | None
    macro_f1: float
    scores: dict[str, float | None]
    """By name: the summary's metric and the main ones at least; of a trained experiment, all registered metrics."""
    n_test: int


class Cell(Place, Scored):
    """One experiment of a grid."""

    key: str
    interval_method: str = ""
    loss: str = ""
    ensemble: int = 1
    loss_scores: dict[str, float] = {}
    """Score of every loss tried on the validation clips, the mean over folds."""
    requested_scores: dict[str, float | None] = {}
    per_class_f1: dict[str, float | None] = {}
    confusion: list[list[int]]
    """Rows: true class; columns: predicted class."""
    epochs_run: int
    chosen_epoch: int
    train_score: float | None = None
    """By the summary's metric, at the selected epoch."""
    val_score: float | None = None
    train_views: int
    train_clips: float
    train_subjects: float
    seconds: float


class Permutations(Part):
    """The score under permuted labels, the predictions being fixed."""

    permutation_level: float
    """The `permutation_quantile` of the score."""
    permutation_quantile: float
    permutation_mean: float
    p_value: float
    p_holm: float | None = None
    """Corrected for several methods, where these are tested."""
    permutations: int

    @property
    def p(self) -> float:
        """The p-value to report."""
        return self.p_value if self.p_holm is None else self.p_holm

    @property
    def above_chance(self) -> bool:
        """Whether the score is significantly higher than under permuted labels."""
        return self.p <= LEVEL + 1e-12


class Alternative(Scored, Permutations):
    """An experiment named beforehand beside the prespecified one, tested on the same clips."""

    name: str
    key: str
    confusion: list[list[int]]
    paired: Paired | None
    """The prespecified experiment minus this one."""
    problem: str | None = None


class NamedCell(Place, Scored, Permutations):
    """The prespecified experiment."""

    title: str = ""
    protocol: Protocol
    key: str
    interval: str
    interval_level: float
    interval_unit: Literal["clip", "subject"]
    interval_resamples: int
    confusion: list[list[int]]
    shuffled: float | None = None
    """The score after training on shuffled labels."""
    n_subjects: int
    trained: Trained
    """What the comparisons with the alternatives treat as fixed."""
    alternatives: list[Alternative] = []
    skipped: list[SkippedMethod] = []
    """Alternatives that could not be run."""


class Baseline(Scored):
    """A prediction that uses no image."""

    draws: int | None = None
    """Random draws behind the means of random guessing."""


class Protocol(Part):
    """How clips are split into training and test."""

    name: str
    title: str
    """Its name within a sentence: "LOSO"."""
    subject_independent: bool
    folds: int
    shared_subjects: int
    test_subjects: int


class Preprocessing(Part):
    """The output of a preprocessing, measured."""

    label: str
    description: str
    height: int
    width: int
    channels: list[str]
    values_per_image: int
    face_centred: float | None
    box_jitter_px: float | None
    n_frames: int
    n_searched: int


class Sampling(Part):
    """The views of a sampling; of a hold-out also by part."""

    label: str
    nominal: int | None
    train: int | None
    val: int | None
    test: int | None
    total: int
    per_clip: float


class Build(Part):
    """A size in which a model was built."""

    ensemble: int
    parameters: int | None
    weights: str
    inputs: list[tuple[int, int, int, int]]
    """Time steps, height, width, channels."""


class Model(Part):
    """A model."""

    label: str
    token_mixing: str | None
    builds: list[Build]


class Axis(Part):
    """An axis of the grid: the part of an experiment that it changes, and its levels."""

    part: str
    levels: list[str]


class OverSeeds(Place):
    """The scores of one experiment over seeds, their mean, and the components of its variance."""

    seeds: list[str]
    scores: list[float]
    mean: float
    low: float | None = None
    high: float | None = None
    seed_sd: float | None = None
    seed_share: float | None = None
    unit_share: float | None = None
    joint_share: float | None = None
    unit: Literal["clip", "subject"] | None = None
    problem: str | None = None


class Repeats(Place):
    """The score over repeated splits of the clips into folds."""

    repeats: int
    mean: float
    sd: float
    min: float
    max: float


class Contrast(Part):
    """A difference of two levels, or of two such differences."""

    words: str
    value: float
    low: float
    high: float


class Effect(Part):
    """The effect of one factor, or the interaction of two."""

    factors: list[str]
    contrasts: list[Contrast]
    blocks: int
    """Settings of the other factors averaged over."""
    p_value: float
    p_corrected: float
    claimed: bool

    @property
    def name(self) -> str:
        """The factor, or both factors of an interaction."""
        return " × ".join(self.factors)


class Factors(Part):
    """Main effects and interactions of a grid."""

    method: str
    level: float
    averaged: list[str]
    effects: list[Effect] = []
    confounded: list[str] = []
    verdict: str
    problem: str | None = None
    subjects: int | None = None
    n: int | None = None
    permutations: int | None = None


class Curve(Part):
    """Scores of one level at increasing training sizes."""

    factor: str
    level: str
    sizes: list[float]
    scores: list[float]
    low: list[float]
    high: list[float]


class Crossing(Part):
    """Where the curves of two levels cross."""

    factor: str
    a: str
    b: str
    at: float | None
    low: float | None
    high: float | None
    share: float
    small: str
    large: str
    sentence: str


class Sizes(Part):
    """Scores by size of the training set."""

    axis: str
    unit: str
    method: str
    n: int
    curves: list[Curve] = []
    crossings: list[Crossing] = []
    problem: str | None = None


class Pair(Part):
    """Two preprocessings in otherwise equal experiments, or why they cannot be compared."""

    sampling: str
    model: str
    factors: dict[str, str]
    a: str
    b: str
    paired: Paired | None
    problem: str | None = None


class Selected(Place):
    """A cell that was selected on validation clips in some folds."""

    times: int
    validation: float
    score: float
    """Over all test clips."""


class Nested(Scored, Permutations):
    """The score where the cell is selected on the validation clips of every fold."""

    folds: int
    cells: int
    left_out: int
    chosen: list[Selected]


class LearningCurve(Place):
    """Losses and scores after every epoch of one fold."""

    loss: str
    fold: str
    epoch: list[int]
    train_loss: list[float | None] = []
    val_loss: list[float | None] = []
    train_score: list[float | None] = []
    val_score: list[float | None] = []
    chosen_epoch: int | None
    chosen: bool


class Latency(Part):
    """The measured time of one forward pass."""

    model: str
    steps: int
    height: int
    width: int
    channels: int
    ensemble: int
    parameters: int
    ms: float
    fps: float
    device: str
    threads: int
    repeats: int


class ClassRow(Part):
    """The results of one class."""

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


class DatabaseRow(Part):
    """The results on one of several databases."""

    database: str
    clips: int
    subjects: int
    classes: int
    scores: dict[str, float]


class SubjectRow(Part):
    """The results of one subject, and the score without them."""

    subject: str
    clips: int
    classes: int
    right: int
    accuracy: float
    without: float | None = None
    change: float | None = None
    lost: list[str] = []
    """Classes that no other subject has."""


class Detail(Place):
    """Classes, databases and subjects of an experiment that the page describes."""

    role: Literal["", "best", "named"]
    """Empty for a single experiment."""
    title: str
    """Its title in the study file; empty where it has none."""
    protocol: str
    score: float
    accuracy: float
    classes: list[ClassRow]
    databases: list[DatabaseRow]
    subjects: list[SubjectRow]
    problem: str | None


class TargetRow(Part):
    """The results of one unit of an auxiliary target, or the mean over its units."""

    cell: str
    target: str
    unit: str
    clips: int | None = None
    coded: int | None = None
    predicted: int | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None
    always: float | None = None
    units: int | None = None


class HardClip(Part):
    """A clip with the number of experiments that classify it correctly."""

    clip: str
    subject: str
    truth: str
    right: int
    of: int
    among: str
    """What these experiments are, in the plural."""
    most: str
    """The most frequent wrong prediction."""


class Option(Part):
    """A setting that the replicated publication leaves open."""

    choice: str
    value: str
    published: str
    default: bool


class Example(Part):
    """A strip of frames."""

    caption: str
    png_base64: str


class ContactSheet(Part):
    """What models saw with one preprocessing and representation: onset, apex and flow of one clip of every class."""

    title: str
    clips: list[Example]
    has_flow: bool
    """Whether the last image of every clip is the flow from onset to apex."""


class Difference(Part):
    """A difference of (mean) scores with its interval and test."""

    value: float
    low: float
    high: float
    level: float
    exact: bool
    permutations: int
    differing: int
    detectable: float | None
    p_value: float
    p_holm: float | None
    family: int
    significant: bool

    @property
    def p(self) -> float:
        """The p-value to report: Holm's where the comparison is one of several."""
        return self.p_value if self.p_holm is None else self.p_holm


class Printed(Part):
    """A published score of a method, and the score here by the same metric."""

    value: float
    metric: str
    protocol: str
    source: str
    here: float


class MethodScores(Part):
    """The mean scores of a method over its seeds."""

    score: float
    """By the leaderboard's metric."""
    scores: list[float]
    """Of each seed."""
    means: dict[str, float]
    """Main scores by metric."""
    databases: dict[str, dict[str, float]]
    low: float | None = None
    high: float | None = None
    permuted: Permutations | None = None
    paired: Difference | None = None
    """Minus the reference."""
    seconds: float
    seeds: list[str]


class MethodRow(MethodScores):
    """A method at one setting of the other axes."""

    method: str
    settings: dict[str, str]
    label: str
    group: str | None
    reference: bool
    best: bool
    keys: list[str]
    confusion: list[list[int]]
    """Of the first seed."""
    estimator: bool
    printed: Printed | None
    fused: list[str]
    parameters: int | None
    ms_a_clip: float | None
    ms_threads: str | None
    folds: int
    problem: str | None


class MethodSelected(Part):
    """How often a method was selected within the training subjects."""

    method: str
    groups: int
    subjects: int
    inner: float
    outer: float


class MethodChoice(Part):
    """The score of a method selected within the training subjects, or why none could be selected."""

    of: list[str]
    left_out: list[str]
    groups: int
    one_subject_per_fold: bool
    keys: list[str]
    problem: str | None = None
    inner: float | None = None
    chosen: list[MethodSelected] = []
    result: MethodScores | None = None


class GroupContrast(Part):
    """The comparison of two groups of methods, or why they cannot be compared."""

    groups: dict[str, list[str]]
    left_out: list[str]
    problem: str | None = None
    scores: dict[str, float] = {}
    difference: Difference | None = None


class SkippedMethod(Part):
    """A method that the data do not allow."""

    method: str
    reason: str


class Leaderboard(Part):
    """The methods of a study, the best first."""

    metric: str
    reference: str | None
    requested_reference: str | None
    level: float
    n: int
    interval: str
    permutations: int
    paired_permutations: int
    power: float
    trained: Trained
    rows: list[MethodRow]
    skipped: list[SkippedMethod]
    problem: str | None = None
    choice: MethodChoice | None = None
    contrast: GroupContrast | None = None


class ShownMap(Part):
    """The attribution map of one clip."""

    clip: str
    fold: str
    true: str
    predicted: str
    probability: float
    strongest: float
    to_random: float | None
    panels: list[str]
    jpeg_base64: str


class Region(Part):
    """A face region's share of a map, and of the image."""

    share: float
    area: float


class Maps(Part):
    """The attribution maps of one model."""

    name: str
    key: str
    model: str
    shows: str
    seed: int
    explainer: str
    component: str
    scale: str
    by_class: bool
    folds: list[str]
    clips: int
    maps: int
    empty: int
    without_face: int
    places: tuple[int, int]
    """Vertical and horizontal positions of a map."""
    to_random: float | None
    among_random: float | None
    compared: int
    flagged: bool
    permuted: bool
    regions: dict[str, Region]
    folder: str
    overlaid: bool
    shown: list[ShownMap]


class Explanations(Part):
    """The attribution maps of a study."""

    threshold: float
    seeds: int
    per_class: int
    folds: int
    bar: str
    """Colour key, PNG in base64."""
    rows: list[Maps]


class StudySummary(Summary):
    """All numbers of a study, or of a single experiment."""

    published: Published | None = None
    """The numbers of the replicated work; None for a study of one's own."""
    dataset_stats: dict[str, Any]
    protocol: Protocol
    preprocessing: dict[str, Preprocessing]
    sampling: dict[str, Sampling]
    models: dict[str, Model]
    cells: list[Cell]
    axes: dict[str, Axis]
    over_seeds: list[OverSeeds] = []
    repeats: list[Repeats] = []
    factors: Factors | None = None
    sizes: Sizes | None = None
    paired: list[Pair] = []
    baselines: dict[str, Baseline] = {}
    named_cell: NamedCell | None = None
    named_problem: str = ""
    """Why there is no prespecified experiment although the study names one."""
    nested: Nested | None = None
    leaderboard: Leaderboard | None = None
    targets: list[TargetRow] = []
    curves: list[LearningCurve] = []
    latency: list[Latency] = []
    choices: list[Option] = []
    seeds: list[int]
    examples: list[Example] = []
    """Frames of a synthetic database by preprocessing and sampling."""
    contact_sheet: list[ContactSheet] = []
    contact_sheets_omitted: int = 0
    """Further inputs of models, which are not shown."""
    explanations: Explanations | None = None
    detail: list[Detail] = []
    hard_clips: list[HardClip] = []


# --- comparisons ------------------------------------------------------------------------------------------------------
class ComparedResult(Part):
    """One of the compared results."""

    letter: str
    title: str
    """What distinguishes it from the others."""
    folder: str
    key: str
    preprocessing: str
    sampling: str
    model: str
    protocol: str
    scores: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    confusion: list[list[int]]


class Setting(Part):
    """A setting in which results differ, and its value in each."""

    name: str
    values: list[str | None]


class ComparedPair(Part):
    """The first result minus another."""

    letter: str
    paired: Paired


class ChangedClip(Part):
    """A clip on which another result differs from the first in correctness."""

    clip: str
    subject: str
    truth: str
    predicted: list[str]


class LeftOut(Part):
    """The difference without one subject."""

    subject: str
    clips: int
    score: float
    change: float
    lost: list[str]


class Influence(Part):
    """The difference without each subject, or why it is undefined."""

    letter: str
    problem: str | None
    subjects: list[LeftOut]


class ComparisonSummary(Summary):
    """All numbers of `microexpr compare`."""

    unit: Literal["clip", "subject"]
    results: list[ComparedResult]
    settings: list[Setting]
    surroundings: list[Setting]
    comparisons: list[ComparedPair]
    changed: list[ChangedClip]
    influence: list[Influence]


# --- tuning -----------------------------------------------------------------------------------------------------------
class Searched(Part):
    """A searched parameter and its values."""

    parameter: str
    values: str


class Search(Part):
    """One search: its clips, the values found, and their scores."""

    search: str
    folds: int
    clips: int
    subjects: int
    tested_clips: int
    tested_subjects: int
    inner: list[int]
    failed: int
    stopped: int
    running: int
    finished: int
    seconds: float
    best: int
    values: dict[str, Any]
    inner_score: float
    untuned_inner_score: float | None
    tuned: float
    untuned: float
    key: str


class Trial(Part):
    """One trial of a search."""

    search: str
    trial: int
    values: dict[str, Any]
    score: float | None
    state: str
    seconds: float | None
    problem: str | None
    same_as: int | None
    best: bool
    untuned: bool


class Importance(Part):
    """Each parameter's share of the explained variance, or why it is not known."""

    shares: dict[str, float] | None
    problem: str


class TunedScores(Part):
    """Scores of tuned or untuned parameters."""

    scores: dict[str, float]
    bounds: dict[str, tuple[float, float]]
    confusion: list[list[int]]
    n_test: int
    n_subjects: int


class TuningSummary(Summary):
    """All numbers of `microexpr tune`."""

    experiment: dict[str, str]
    trials_requested: int
    inner: int
    folds: int
    space_source: str
    storage: str
    search: str
    evaluator: str
    space: list[Searched]
    searches: list[Search]
    trials: list[Trial]
    importance: Importance
    importances: list[Importance]
    tuned: TunedScores
    untuned: TunedScores
    comparison: Paired | None
    problem: str | None = None
