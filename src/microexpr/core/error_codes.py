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
    "E190": Explanation(
        "`microexpr study` does not know where to write its results.",
        "Give a folder with `--out`, or use `--dry-run`, which writes nothing.",
    ),
    "E191": Explanation(
        "No study of this name is shipped with microexpr.",
        "Use one of the names that the message lists; `microexpr studies` describes them.",
    ),
    "E192": Explanation(
        "An option that takes numbers (`--seeds`, `--train-sizes`, `--train-subjects`) has a value of another form.",
        "Separate whole numbers by commas; `all` is allowed for training sizes.",
    ),
    "E193": Explanation(
        "Several `--data` folders were given without the names of their databases.",
        "Give each as NAME=DIR, for example `--data casme2=DIR --data samm=DIR`.",
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
    "E850": Explanation(
        "The candidates of a nested selection have no seed in common, so no selection can be scored.",
        "Train all candidates with the same seeds; failed trainings are listed at the top of the report.",
    ),
    "E851": Explanation(
        "A summary was written by another version of microexpr, in another format.",
        "Run the study again with this version; finished folds are not trained again.",
    ),
}

# E9: other people's logs, tables and codings.
AUDITS: Mapping[str, Explanation] = {}

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
