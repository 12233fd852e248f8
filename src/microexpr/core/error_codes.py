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
        "A database, table or log cannot be used as it is.",
        "Fix the faults that the message lists; `microexpr data check` lists all faults of a database at once.",
    ),
    "E203": Explanation(
        "The face detector finds no face in a frame.",
        "Look at the frame that the message names; leave its clip out, or choose a preprocessing without a detector.",
    ),
    "E204": Explanation(
        "The folder of a database does not exist, is a file or cannot be opened.",
        "Give the right folder with `--root` or `--data`.",
    ),
    "E205": Explanation(
        "The folder contains no table of this database.",
        "Give the folder that contains the table; the message names it where it is close by.",
    ),
    "E206": Explanation(
        "The folder contains several tables.",
        'Choose one with `--set table=NAME` (in a study file: `table = "NAME"`), or move the others away.',
    ),
    "E207": Explanation(
        "A table is damaged, protected by a password or not in a known format.",
        "Copy or download it again, or save it in the format that the message names.",
    ),
    "E208": Explanation(
        "A table lacks columns or rows, or has a column or sheet more than once.",
        "Use the table as distributed by the owners, or correct what the message names.",
    ),
    "E209": Explanation(
        "The folder contains no frames where they are expected.",
        "Copy the frames to the place that the message names, or choose the kind of frames that exists.",
    ),
    "E211": Explanation(
        "A parameter of a manifest names columns or channels that do not exist or do not fit.",
        "Correct the parameter that the message names.",
    ),
    "E220": Explanation(
        "A cell of a table is empty.",
        "Fill in the cell.",
    ),
    "E221": Explanation(
        "A cell of a table has no valid value, for instance text instead of a frame number.",
        "Write the value that the message asks for.",
    ),
    "E222": Explanation(
        "An emotion is not one of the words of this database.",
        "Write one of the words that the message lists.",
    ),
    "E223": Explanation(
        "The times of a clip are impossible, for instance an offset before the onset.",
        "Correct the frame numbers.",
    ),
    "E224": Explanation(
        "A clip is in a table twice.",
        "Delete one of its rows.",
    ),
    "E225": Explanation(
        "The name of a clip belongs to another subject or recording.",
        "Correct the name or the subject.",
    ),
    "E226": Explanation(
        "Two columns or tables contradict each other.",
        "Correct or delete the wrong one.",
    ),
    "E227": Explanation(
        "A manifest lists the same frames for two clips.",
        "Correct the path, or delete the wrong row: frames in both training and test raise every score.",
    ),
    "E230": Explanation(
        "The folder of a clip is missing.",
        "Copy it again from the original.",
    ),
    "E231": Explanation(
        "Frames of a clip are missing.",
        "Copy its folder again from the original.",
    ),
    "E232": Explanation(
        "Several files have one frame number.",
        "Delete the file that does not belong to the clip.",
    ),
    "E233": Explanation(
        "An image is empty, truncated, not an image or cannot be opened.",
        "Copy it again from the original.",
    ),
    "E234": Explanation(
        "Images that belong together differ in size, channels or bit depth.",
        "Copy them again, or convert them to one size and kind.",
    ),
    "E235": Explanation(
        "Depth images do not fit the colour images, or have several channels.",
        "Copy them again, or choose another modality.",
    ),
    "E236": Explanation(
        "Two clips read one folder.",
        "Give each clip the folder of its name.",
    ),
    "E237": Explanation(
        "Frames of a clip or database exist in several folders.",
        "Keep the folder that the owners distribute.",
    ),
    "E240": Explanation(
        "A database has no such modality or clip.",
        "Choose a modality that the message lists.",
    ),
    "E241": Explanation(
        "A precomputed image has no frame of this number.",
        "Choose the sampling `image`, or join more columns with `series`.",
    ),
    "E250": Explanation(
        "An apex or offset was not coded.",
        "Nothing: what is used instead is stated, and in `Clip.labels` as estimated.",
    ),
    "E251": Explanation(
        "The apex of a clip is its onset or offset.",
        "Nothing: it is read as the owners coded it. Some label sets leave such clips out.",
    ),
    "E252": Explanation(
        "A clip is longer than 500 ms, the usual limit of a micro-expression.",
        "Nothing: it is read as the owners coded it.",
    ),
    "E253": Explanation(
        "A clip is longer than macro-expressions usually are; its times may be wrong.",
        "Compare the row with its frames.",
    ),
    "E254": Explanation(
        "A cell of action units contains more than units.",
        "Nothing: the units are read, and the cell is kept in `Clip.labels`.",
    ),
    "E255": Explanation(
        "Two clips of one video share frames.",
        "Check whether one expression is coded twice.",
    ),
    "E256": Explanation(
        "A folder or row is not read.",
        "Nothing, unless it should be in the table: then correct its name.",
    ),
    "E257": Explanation(
        "A folder has frames outside its clips, or numbers are missing.",
        "Nothing if this is intended; else copy it again from the original.",
    ),
    "E258": Explanation(
        "A file or folder is a link, or outside the root.",
        "Nothing if this is intended.",
    ),
    "E259": Explanation(
        "The table contradicts itself in a value that is not used.",
        "Compare the row with its frames.",
    ),
    "E260": Explanation(
        "A name or folder differs from the table; the table counts.",
        "Check which is right.",
    ),
    "E261": Explanation(
        "A label set keeps no clip of a database.",
        "Choose a label set for its emotions; docs/components.md lists them.",
    ),
    "E262": Explanation(
        "A label mapping names an emotion that is not in the vocabulary.",
        "Use the words that the message lists.",
    ),
    "E270": Explanation(
        "Two databases of one experiment contain the same clip.",
        "List each database once.",
    ),
    "E271": Explanation(
        "A synthetic database cannot be written to this folder.",
        "Choose an empty folder, or the folder of an interrupted run with the same options.",
    ),
    "E272": Explanation(
        "The preprocessed images of an experiment differ in size.",
        "Choose a preprocessing that makes them one size.",
    ),
    "E273": Explanation(
        "No clip of a database is without a fault.",
        "Fix the faults that the message lists.",
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
STATISTICS: Mapping[str, Explanation] = {}

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
