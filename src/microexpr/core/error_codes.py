"""What users can get wrong, by code: the reason and the fix. Codes are stable; messages may be reworded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Explanation(NamedTuple):
    """What an error of one code means, and how to fix it."""

    reason: str
    fix: str


# E1: the command line, study files, components and their parameters.
COMMAND: Mapping[str, Explanation] = {
    "E101": Explanation(
        "A file that was named does not exist, cannot be read or is not valid TOML.",
        "Correct the path or the file; the message says which line. `microexpr studies` lists the files that come with "
        "microexpr.",
    ),
    "E102": Explanation(
        "A study file has a key that is not known, or a value of the wrong type or out of range.",
        "Correct the key or value that the message names; it suggests the nearest known one.",
    ),
    "E103": Explanation(
        "No component of this kind has this name.",
        "Use one of the names that the message lists, or register your own (CONTRIBUTING.md).",
    ),
    "E104": Explanation(
        "A component does not take this parameter or value, or lacks one that it needs.",
        "Use a parameter that the message lists; docs/components.md describes them.",
    ),
    "E105": Explanation(
        "An option of the command line was used wrongly.",
        "Correct the option that the message names; `--help` after the command lists all.",
    ),
}

# E2: databases: their folders, tables, frames and label sets.
DATABASES: Mapping[str, Explanation] = {
    "E201": Explanation(
        "The folder or table of a database cannot be used as it is.",
        "Correct what the message lists; `microexpr data check` lists everything at once.",
    ),
    "E202": Explanation(
        "A frame is missing, cannot be read, or is not what the table says.",
        "Replace the frame that the message names, or leave its clip out with `--skip-invalid`.",
    ),
    "E203": Explanation(
        "The face detector finds no face in a frame.",
        "Look at the frame that the message names; leave its clip out, or choose a preprocessing without a detector.",
    ),
}

# E3: dividing clips into folds and parts.
SPLITS: Mapping[str, Explanation] = {
    "E301": Explanation(
        "The clips cannot be divided as the protocol requires.",
        "Choose other folds, another protocol or another label set, as the message suggests.",
    ),
}

# E4: methods that the data do not allow: models, samplings, representations, losses.
METHODS: Mapping[str, Explanation] = {
    "E401": Explanation(
        "The data do not have what a method needs: frames, channels, times or a size.",
        "Choose another sampling, representation or model, as the message suggests.",
    ),
}

# E5: pretrained weights.
WEIGHTS: Mapping[str, Explanation] = {
    "E501": Explanation(
        "Pretrained weights are missing, damaged or of another model.",
        'Fetch them with `microexpr weights fetch`, or set `weights = "random"`.',
    ),
}

# E6: results, caches and checkpoints on disk.
STORE: Mapping[str, Explanation] = {
    "E601": Explanation(
        "Results cannot be written to a folder or read from it.",
        "Choose another folder, or remove what the message names.",
    ),
    "E602": Explanation(
        "The results were written by another version of microexpr, in another format.",
        "Choose another `--out` to train again, or read the results with the version that wrote them.",
    ),
}

# E7: training, prediction and tuning.
TRAINING: Mapping[str, Explanation] = {
    "E701": Explanation(
        "A training cannot go on.",
        "Change the setting that the message names.",
    ),
}

# E8: statistics, comparisons and reports.
STATISTICS: Mapping[str, Explanation] = {
    "E801": Explanation(
        "The number of resamples or permutations, the level of an interval or the power is out of range.",
        "Use the range that the message names.",
    ),
    "E802": Explanation(
        "There are no clips, or too few for this interval or test.",
        "Give predictions for more clips, or choose the interval that the message suggests.",
    ),
    "E803": Explanation(
        "All clips are of one subject, so nothing can be said about other subjects.",
        "Give clips of at least two subjects, or resample clips.",
    ),
    "E804": Explanation(
        "All clips are of one class, so scores over classes are not meaningful.",
        "Give clips of at least two classes.",
    ),
    "E805": Explanation(
        "Subjects have clips of several classes, so resampling subjects cannot keep the class sizes.",
        "Stratify clips, or resample subjects without strata.",
    ),
    "E806": Explanation(
        "There is no BCa interval: all resamples are on one side of the score, or one clip or subject determines it.",
        'Use another method, for instance `bootstrap.method = "percentile"`.',
    ),
    "E807": Explanation(
        "No clip is predicted correctly by only one of the two experiments, so there is no odds ratio.",
        "Report the number of such clips instead.",
    ),
    "E808": Explanation(
        "There are too few subjects to state a difference that would be detected with this power.",
        "Set a lower power, or test more subjects.",
    ),
    "E809": Explanation(
        "Without one clip or subject no class remains to be scored.",
        "Give more clips, or clips of more subjects.",
    ),
    "E810": Explanation(
        "The cells of a grid do not allow this analysis: fewer than two cells or sizes, different factors, or two "
        "cells with the same levels.",
        "Vary what is to be analysed in `[grid]`, and name every factor.",
    ),
    "E811": Explanation(
        "There is only one seed, or the methods have no seed in common.",
        'Run all methods with the same seeds, at least two, for instance `"seed" = [0, 1, 2]` in `[grid]`.',
    ),
    "E812": Explanation(
        "A table of predictions lacks a column that is needed.",
        "Add the column that the message names.",
    ),
    "E813": Explanation(
        "A clip was predicted more than once.",
        "Combine the predictions of each clip, or use those of one repeat.",
    ),
    "E814": Explanation(
        "Experiments with different label sets cannot be compared.",
        "Run both with the same `labels`.",
    ),
    "E815": Explanation(
        "Experiments that were tested on different clips cannot be compared.",
        "Run both on the same database, label set and folds.",
    ),
    "E816": Explanation(
        "Two experiments give different true classes or subjects for the same clip.",
        "Run both on the same version of the annotations.",
    ),
    "E817": Explanation(
        "No method can be chosen inside the training subjects: too few methods, or folds that do not fit.",
        "Evaluate at least two methods on the same folds with protocol `group_pairs`.",
    ),
    "E818": Explanation(
        "The metric cannot be computed from a confusion matrix, which this analysis needs.",
        "Use uf1, uar, macro_f1 or accuracy.",
    ),
    "E819": Explanation(
        "The results to compare were named wrongly: too few, too many, or one of them twice.",
        "Name two or more folders of results, each once.",
    ),
    "E820": Explanation(
        "A folder to compare holds several experiments, or only baselines that do not look at any image.",
        "Name the folder of one experiment, results/KEY; the message lists them.",
    ),
    "E821": Explanation(
        "An experiment to compare is not finished: some folds have no result yet.",
        "Run the same command again; only the missing folds are trained.",
    ),
    "E831": Explanation(
        "The page of validation results cannot be read, or lacks the marks between which a table is written.",
        "Give a page that has each pair of marks once, such as docs/validation.md.",
    ),
    "E832": Explanation(
        "A validation study does not vary what is planted, or one of its trials has no result.",
        "Vary the axes that the message names, as tools/validation/planted.toml does.",
    ),
}

# E9: other people's logs, tables and codings.
AUDITS: Mapping[str, Explanation] = {
    "E901": Explanation(
        "A log of predictions or a truth file is not in a known form, or its columns are not known.",
        "Use one of the forms that `microexpr audit log --help` describes, or name the columns with `--columns`.",
    ),
    "E902": Explanation(
        "An option of `microexpr audit log` does not fit the log.",
        "Correct `--subjects`, `--columns`, `--classes` or `--truth` as the message suggests.",
    ),
    "E903": Explanation(
        "A log lists a different number of predictions and true labels for a subject.",
        "Write one prediction for each label.",
    ),
    "E904": Explanation(
        "A clip of the log is not in the truth file, or is in it more than once.",
        "Correct the names in the log or the truth file, or leave out these clips with `--skip-invalid`.",
    ),
    "E905": Explanation(
        "A clip occurs more than once in the log.",
        "Keep one line per clip, or leave out repeated clips with `--skip-invalid`.",
    ),
    "E906": Explanation(
        "A line of the log has no label.",
        "Write the label.",
    ),
    "E907": Explanation(
        "A label or prediction of the log is not one of the classes.",
        "Correct it, or name every class with `--classes`, including those without a true clip.",
    ),
    "E908": Explanation(
        "Log and truth file do not fit together: the order of the two columns is mixed, or many labels differ.",
        "Write truth and prediction in the same order in every line, and name the classes as in the truth file.",
    ),
    "E909": Explanation(
        "The log has no clips to score, or clips of one class only.",
        "Give a log with clips of several classes that are in the truth file.",
    ),
    "E910": Explanation(
        "The log cannot be scored; the message lists every fault with its own code.",
        "Fix the faults that are listed.",
    ),
    "E911": Explanation(
        "A claim or a printed figure is not a number that a score can have.",
        "Write claims as `uf1=0.71,uar=70%`, with scores from 0 to 1 or percentages.",
    ),
    "E912": Explanation(
        "A claim names a quantity that is not known, or that cannot be computed from this log.",
        "Use one of the names that the message lists.",
    ),
    "E920": Explanation(
        "The file of a published table is not valid; the message lists every problem.",
        "Fix the problems that are listed; `microexpr audit table --help` describes the file.",
    ),
    "E930": Explanation(
        "A coding lacks a column or a value that is needed, or has no rows.",
        "Name the columns video, onset, apex, offset, label, action_units, subject, as far as available.",
    ),
    "E931": Explanation(
        "The times of an expression are not numbers, or not in order (onset, apex, offset).",
        "Correct the times in the line that the message names.",
    ),
    "E932": Explanation(
        "An expression is listed twice in a coding.",
        "Keep one row.",
    ),
    "E933": Explanation(
        "Two codings have no video in common.",
        "Use the same names for the same videos in both files.",
    ),
    "E934": Explanation(
        "No expression of one coding can be paired with one of the other.",
        "Give onset and offset in both files, so that expressions can be paired by their times.",
    ),
    "E935": Explanation(
        "The overlap `--iou` is out of range.",
        "Use a number above 0 and at most 1.",
    ),
}

CODES: Mapping[str, Explanation] = {
    **COMMAND,
    **DATABASES,
    **SPLITS,
    **METHODS,
    **WEIGHTS,
    **STORE,
    **TRAINING,
    **STATISTICS,
    **AUDITS,
}
