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
        "A file that was named does not exist.",
        "Correct the path; `microexpr studies` lists the study files that come with microexpr.",
    ),
    "E102": Explanation(
        "A study file has an unknown key, or a value of the wrong type or out of range.",
        "Correct the keys and values that the message lists; it suggests the nearest known key.",
    ),
    "E103": Explanation(
        "No component, label set or method has this name.",
        "Use one of the names that the message lists, or register a component of your own (CONTRIBUTING.md).",
    ),
    "E104": Explanation(
        "A component does not take this parameter or value, or lacks one that it needs.",
        "Use the parameters that the message lists; docs/components.md describes them.",
    ),
    "E105": Explanation(
        "An option of the command line was used wrongly.",
        "Correct the option that the message names; `--help` after the command lists all.",
    ),
    "E106": Explanation(
        "A file cannot be read, or is not valid TOML.",
        "Correct the file at the line that the message gives; check that it is UTF-8 text and may be read.",
    ),
    "E107": Explanation(
        "A setting is not written as key=value, or its key refers to a part of a value that has no parts.",
        "Write for example `--set training.epochs=2`, with a key of a study or experiment file.",
    ),
    "E108": Explanation(
        "A study was given where an experiment is expected, or the other way round.",
        "Use `microexpr study` for studies and `microexpr run` for experiments, as the message says.",
    ),
    "E109": Explanation(
        "A score is neither a metric nor the mean of a metric over folds.",
        "Write a metric, such as uf1, or its mean over folds, mean_of_folds(uf1).",
    ),
    "E110": Explanation(
        "A component has no parameter of this name.",
        "Use one of the parameters that the message lists; docs/components.md describes them.",
    ),
    "E111": Explanation(
        "A parameter that has no default is missing.",
        "Set the parameter that the message names; docs/components.md describes it.",
    ),
    "E112": Explanation(
        "The value of a parameter has the wrong type or is out of range.",
        "Set a value that the message allows; docs/components.md lists types and limits.",
    ),
    "E113": Explanation(
        "Parameters of one component contradict each other, or leave nothing to do.",
        "Change one of the parameters that the message names.",
    ),
    "E114": Explanation(
        "The source of a component from outside the package changed while a run with several processes was under way.",
        "Run the same command again. Finished folds are kept.",
    ),
    "E115": Explanation(
        "A component needs a library that is not installed, or not in the required variant.",
        "Install the library that the message names, or choose another method.",
    ),
    "E116": Explanation(
        "The folder for a synthetic database holds other files, or a database with other options.",
        "Name an empty or new folder, or that of an unfinished database with the same options.",
    ),
    "E117": Explanation(
        "A component without a source file, or edited after it was loaded, cannot be loaded by another process.",
        "Define the component in a module beside the notebook and import it; after editing a module, start again.",
    ),
    "E118": Explanation(
        "A vote of your own learns something that is not among its parameters, so the model cannot be stored with it.",
        "Make the vote a dataclass whose fields hold what it learns, as in learnt_temporal.",
    ),
    "E119": Explanation(
        "A file does not set the database, the label set or the model of an experiment, which have no default.",
        "Write datasets, labels and model into the file, as in the example that the message gives.",
    ),
    "E120": Explanation(
        "An axis of a study's grid, or a key of a method or an alternative, cannot vary between cells.",
        "Use the parts of an experiment that the message lists; set everything else once, under [experiment].",
    ),
    "E121": Explanation(
        "Two cells of a study are the same experiment: an axis has no effect, or a level is listed twice.",
        "Remove one of the two cells that the message names.",
    ),
    "E122": Explanation(
        "An override of a study matches no cell, or would replace a component instead of setting its parameters.",
        "Correct its `when` or its `set`, or remove the override.",
    ),
    "E123": Explanation(
        "The leaderboard of a study does not fit the study's methods.",
        "Correct the setting that the message names: methods, names used twice, or the groups of a contrast.",
    ),
    "E124": Explanation(
        "The metric of a leaderboard cannot be computed from confusion matrices, so it cannot be resampled.",
        "Use uf1, uar, macro_f1 or accuracy.",
    ),
    "E125": Explanation(
        "Methods that are to be compared or chosen among have no seed in common.",
        "Give these methods at least one common seed.",
    ),
    "E126": Explanation(
        "The explanations of a study list a name twice, or give parameters to the explainer auto.",
        "List each name once; name an explainer to set its parameters.",
    ),
    "E127": Explanation(
        "Databases of an experiment cannot be combined: one is listed twice, or they have no modality in common.",
        "List each database once, and combine databases with a common modality.",
    ),
    "E128": Explanation(
        "Corrections were turned off for a database whose reader makes none.",
        "Omit `--no-corrections`.",
    ),
    "E129": Explanation(
        "The metric that selects on validation clips cannot be computed from confusion matrices, or is lower for "
        "better predictions.",
        "Set training.select to macro_f1, uf1, uar, accuracy or another metric of predicted classes.",
    ),
    "E130": Explanation(
        "The folder of a database is missing from the command, or one was given for a database that is not used.",
        "Write `--data DIR` for one database, and `--data NAME=DIR` for each of several.",
    ),
    "E131": Explanation(
        "Fewer than one process was requested.",
        "Use 1 or more for `workers` and `jobs`.",
    ),
    "E132": Explanation(
        "Predictions of several repeats were requested as one table, or a repeat that does not exist.",
        "Select one repeat with `of_repeat`, or use `scores`, which averages over all of them.",
    ),
    "E133": Explanation(
        "Class probabilities of results with different folds or test clips cannot be averaged.",
        "Average results of the same protocol, seed and clips only.",
    ),
    "E134": Explanation(
        "A model has no published weights.",
        "Leave the model out of the list; it is trained from random weights.",
    ),
    "E135": Explanation(
        "Nothing that can be predicted was found in a folder or file.",
        "Name a database (NAME=DIR names its reader), a manifest (.csv), or a folder with numbered images.",
    ),
    "E140": Explanation(
        "The search space has a parameter that cannot be searched, has no effect or is listed twice.",
        "Correct the parameter that the message names; docs/tuning.md describes search spaces.",
    ),
    "E141": Explanation(
        "There is nothing to search: the file has no search space, and the model has none of the paper's parameters.",
        "Add [tuning.space] to the file, as in the example that the message gives.",
    ),
    "E142": Explanation(
        "Tuning was started with fewer than one trial.",
        "Use 1 or more for `--trials`.",
    ),
    "E143": Explanation(
        "A Python package that tuning needs is not installed.",
        "Install the package that the message names with pip.",
    ),
    "E144": Explanation(
        "The storage of trials is not the URL of a database.",
        "Write for example sqlite:///trials.db, or omit `--storage` to keep the trials in a file in `--out`.",
    ),
    "E145": Explanation(
        "Tuning needs a protocol that tests every clip once.",
        "Set the protocol's `repeats` to 1.",
    ),
    "E150": Explanation(
        "A folds file does not exist or cannot be read.",
        "Name a folds.json, or the folder results/KEY of a run that has one.",
    ),
    "E151": Explanation(
        "A folds file is not in the format of folds.json.",
        "Correct the place that the message names; the format is described at the top of microexpr/core/folds.py.",
    ),
    "E152": Explanation(
        "A folds file contradicts itself: a clip or a name occurs where it must not.",
        "Correct the fold and clip that the message names.",
    ),
    "E153": Explanation(
        "This processor does not compute bf16 natively (AVX512-BF16 or AMX), so bf16 would be slower than float32.",
        'Set training.precision = "auto" or "float32".',
    ),
    "E160": Explanation(
        "A model cannot be exported (for this runtime), since it is no network, is exported already or its graph would "
        "not agree; or an exported model was to be trained.",
        "Follow the message: export for the other runtime, name the model that a graph came from, or predict with the "
        "stored model as it is.",
    ),
    "E161": Explanation(
        "The runtime of an exported model is not installed, or is another than the one that was requested.",
        "Install it with `pip install 'microexpr[export]'`, or name the runtime for which the model was exported.",
    ),
    "E162": Explanation(
        "A precision is not possible on this processor or in this runtime, or too few views would be compared.",
        "Export in float32, which is possible everywhere, and compare as many views as the message says.",
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
        "An option that takes numbers (`--seeds`, `--train-sizes`, `--train-subjects`) has a value in another form.",
        "Separate whole numbers with commas; `all` is allowed for training sizes.",
    ),
    "E193": Explanation(
        "Several `--data` folders were given without the names of their databases.",
        "Give each as NAME=DIR, for example `--data casme2=DIR --data samm=DIR`.",
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
        "A table or text file is missing, damaged, protected by a password or not in a known format.",
        "Correct its path, copy it again, or save it in the format that the message names.",
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
        "A clip appears twice in a table.",
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
        "Several files have the same frame number.",
        "Delete the file that does not belong to the clip.",
    ),
    "E233": Explanation(
        "An image is empty, truncated, not an image or cannot be opened.",
        "Copy it again from the original.",
    ),
    "E234": Explanation(
        "Images that belong together differ in size, channels or bit depth.",
        "Copy them again, or convert them to the same size and type.",
    ),
    "E235": Explanation(
        "Depth images do not fit the colour images, or have several channels.",
        "Copy them again, or choose another modality.",
    ),
    "E236": Explanation(
        "Two clips use the same folder.",
        "Use the folder named after the clip for each clip.",
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
        "No action needed: the value used instead is reported, and marked as estimated in `Clip.labels`.",
    ),
    "E251": Explanation(
        "The apex of a clip is its onset or offset.",
        "No action needed: it is read as the owners coded it. Some label sets leave such clips out.",
    ),
    "E252": Explanation(
        "A clip is longer than 500 ms, the usual limit of a micro-expression.",
        "No action needed: it is read as the owners coded it.",
    ),
    "E253": Explanation(
        "A clip is longer than macro-expressions usually are; its times may be wrong.",
        "Compare the row with its frames.",
    ),
    "E254": Explanation(
        "A cell of action units contains more than action units.",
        "No action needed: the units are read, and the cell is kept in `Clip.labels`.",
    ),
    "E255": Explanation(
        "Two clips of one video share frames.",
        "Check whether one expression is coded twice.",
    ),
    "E256": Explanation(
        "A folder or row is not read.",
        "No action needed, unless it should be in the table; if so, correct its name.",
    ),
    "E257": Explanation(
        "A folder has frames outside its clips, or frame numbers are missing.",
        "No action needed if this is intended; otherwise copy it again from the original.",
    ),
    "E258": Explanation(
        "A file or folder is a link, or outside the root.",
        "No action needed if this is intended.",
    ),
    "E259": Explanation(
        "The table contradicts itself in a value that is not used.",
        "Compare the row with its frames.",
    ),
    "E260": Explanation(
        "A name or folder differs from the table; the table takes precedence.",
        "Check which is right.",
    ),
    "E261": Explanation(
        "A label set keeps no clip of a database.",
        "Choose a label set that covers its emotions; docs/components.md lists them.",
    ),
    "E262": Explanation(
        "A label mapping names an emotion that is not in the vocabulary.",
        "Use the words that the message lists.",
    ),
    "E270": Explanation(
        "Two databases of one experiment contain the same clip.",
        "List each database once.",
    ),
    "E272": Explanation(
        "The preprocessed images of an experiment differ in size.",
        "Choose a preprocessing that resizes them to one size.",
    ),
    "E273": Explanation(
        "Every clip of a database has a fault.",
        "Fix the faults that the message lists.",
    ),
    "E275": Explanation(
        "An image in a folder of frames has more than 8 bits per channel.",
        "Convert the images to 8 bits per channel.",
    ),
    "E276": Explanation(
        "An array is not a series of images of 8 bits, or an apex lies outside it.",
        "Pass uint8 arrays of shape t h w 3 (red, green, blue) or t h w (grey); frames are numbered from 0.",
    ),
}

# E3: dividing clips into folds and parts.
SPLITS: Mapping[str, Explanation] = {
    "E302": Explanation(
        "The clips have fewer than two classes, so no score can be computed.",
        "Choose another label set, or databases with more classes.",
    ),
    "E303": Explanation(
        "There are fewer subjects, clips or databases than the protocol needs.",
        "Use fewer folds or groups, add data, or choose another protocol.",
    ),
    "E304": Explanation(
        "A fold has no clips, or clips of a single class only, to train or test on.",
        "Change the number of folds or the shares, merge small classes with another label set, or use other databases.",
    ),
    "E305": Explanation(
        "Two subjects or databases would be given the same name in file names.",
        "Rename one of them, or set a namespace.",
    ),
    "E306": Explanation(
        "A list of clips names a clip that is not in the table.",
        "Remove the clip from the list, or choose a label set that keeps it.",
    ),
    "E307": Explanation(
        "A clip is listed for two parts of a fold.",
        "Remove it from one of the lists.",
    ),
    "E308": Explanation(
        "A part of a hold-out split cannot be filled with the clips that are available.",
        "Change the shares, merge small classes with another label set, or use the protocol 'loso'.",
    ),
    "E309": Explanation(
        "A protocol names a database that has no clips in the table.",
        "Use one of the databases that the message lists, or add the database to the experiment.",
    ),
    "E310": Explanation(
        "The clips in a folds file are not those of the experiment.",
        "Use the databases and the label set that the folds were made with.",
    ),
    "E311": Explanation(
        "A folds file claims to be subject-independent, but is not, given the subjects in this table.",
        "Use the data that the folds were made with; check how subjects are named.",
    ),
    "E312": Explanation(
        "There are fewer distinct splits than requested repeats.",
        "Request fewer repeats, or use a smaller k.",
    ),
}

# E4: methods that the data do not allow: models, samplings, representations, losses.
METHODS: Mapping[str, Explanation] = {
    "E402": Explanation(
        "A sampling needs the apex, but the clip has none.",
        'Add the apex to the table, set missing_apex = "middle", or use a sampling that needs no apex.',
    ),
    "E403": Explanation(
        "The sampling for precomputed images was used for a clip with frames.",
        "Use a sampling for frames, as the message suggests.",
    ),
    "E404": Explanation(
        "The requested frames are outside the clip, or no frame is left.",
        "Change the steps of the sampling, or let it drop frames outside onset and offset.",
    ),
    "E405": Explanation(
        "A filter in Hz needs the frame rate, but that of the clip is unknown.",
        "Add the frame rate to the table, or set preprocessing.fps.",
    ),
    "E406": Explanation(
        "The images are too small for the method.",
        "Set a larger size in the preprocessing or representation.",
    ),
    "E407": Explanation(
        "The sides of the images do not suit the network.",
        "Set the size that the message suggests.",
    ),
    "E408": Explanation(
        "The views have too few or too many frames for the model.",
        "Choose another sampling, or another model.",
    ),
    "E409": Explanation(
        "The channels of the images are not those that the method needs.",
        "Choose the representation or modality that the message names.",
    ),
    "E410": Explanation(
        "The images are already optical flow, but the method needs frames.",
        'Set representation = "pixels".',
    ),
    "E411": Explanation(
        "An augmentation must invert motion, but the scaling of the motion channels is unknown.",
        "State the scaling of the database, or leave the augmentation out.",
    ),
    "E412": Explanation(
        "The method needs pixels, but the views are histograms of blocks.",
        "Leave it out, or choose another representation.",
    ),
    "E413": Explanation(
        "The model has no auxiliary outputs, so it cannot learn targets.",
        "Leave the targets out, or choose a network.",
    ),
    "E414": Explanation(
        "The model needs the position of the apex in a view, which is unknown or outside the view.",
        "Choose a sampling with a fixed position of the apex, or set model.apex.",
    ),
    "E415": Explanation(
        "The crop is larger than the frames.",
        'Set a smaller size, or centre = "resized".',
    ),
    "E416": Explanation(
        "The window of the preprocessing moves within a clip, which the magnification would amplify.",
        'Set box = "onset" or "median" in the preprocessing inside.',
    ),
    "E417": Explanation(
        "An augmentation would not change the images, or would change them incorrectly.",
        "Change the parameter that the message names.",
    ),
    "E418": Explanation(
        "The model cannot be explained by this explainer.",
        "Use an explainer that the message suggests; occlusion works for every model on images.",
    ),
    "E419": Explanation(
        "A sampling, representation or preprocessing needs a sequence of frames, but the clip is a precomputed "
        "image without time.",
        'Set sampling = "image" and representation = "pixels", with a model for images.',
    ),
    "E450": Explanation(
        "A sampling does not find the frames that it needs in any clip, for example because no apex is coded.",
        "Choose another sampling.",
    ),
    "E451": Explanation(
        "A clip does not have the frames that the sampling needs.",
        "Choose a sampling that does not need them, or leave the clip out with `--skip-invalid`.",
    ),
    "E452": Explanation(
        "A representation needs more frames than the sampling provides.",
        "Choose a sampling with more frames, or another representation.",
    ),
    "E453": Explanation(
        "A representation needs frames over time, but these clips are single precomputed images.",
        "Use representation pixels with a model for images; state what the channels of optical-flow images hold.",
    ),
    "E454": Explanation(
        "A preprocessing fails on every clip of the database.",
        "Look at the frames of the named clip, or choose a preprocessing without face detection (m1, as_is).",
    ),
    "E455": Explanation(
        "The study file requests colour, but the images or the views have none.",
        "Remove the request for colour, or choose a modality or preprocessing in colour.",
    ),
    "E456": Explanation(
        "A training setting applies only to networks, but the model is fitted once.",
        "Remove the setting that the message names, or choose a network.",
    ),
    "E457": Explanation(
        "A sampling produces views of different lengths, but the representation needs views of equal length.",
        "Choose a representation with a fixed length, such as tim or dynamic_image, or a sampling with one.",
    ),
    "E458": Explanation(
        "No clip has values for an auxiliary target.",
        "Leave the target out, or choose a database whose table codes action units.",
    ),
    "E459": Explanation(
        "In the training clips of a fold, an auxiliary target has the same value everywhere.",
        "Choose other action units, or leave the target out.",
    ),
    "E460": Explanation(
        "The database does not have the modality that the experiment names.",
        "Use one of the modalities that the message lists.",
    ),
    "E461": Explanation(
        "A preprocessing requires uncropped frames, but the database's owners cropped the frames of this folder.",
        "Point `--data` at the uncropped frames, or accept cropped ones with `--allow-cropped`.",
    ),
    "E462": Explanation(
        "None of a study's methods fits the data.",
        "Look at the reason for each method that the message lists.",
    ),
    "E463": Explanation(
        "A fold has too few training subjects for a validation set.",
        "Train a fixed number of epochs with one loss (training.patience = 0), or use another protocol.",
    ),
    "E464": Explanation(
        "More training clips or subjects were requested than a fold has.",
        "Request fewer, or all of them.",
    ),
    "E465": Explanation(
        "The label set keeps no clip of the database.",
        "Choose a label set for this database, or map its emotions with a table of labels.",
    ),
    "E466": Explanation(
        "The test clips do not allow the requested confidence interval.",
        "Test on more subjects or clips, or change the bootstrap setting that the message names.",
    ),
    "E467": Explanation(
        "The database has faults that prevent a run.",
        "Fix the faults that the message lists; `microexpr data check` lists all of them.",
    ),
    "E468": Explanation(
        "Some clips have faults.",
        "Fix the faults that the message lists, or run without these clips with `--skip-invalid`.",
    ),
    "E470": Explanation(
        "A model can use none of the clips that it was to predict.",
        "Correct what the message lists for each clip; the model may need an apex, or a face.",
    ),
}

# E5: pretrained weights.
WEIGHTS: Mapping[str, Explanation] = {
    "E501": Explanation(
        "Published weights are not in the weights folder.",
        'Download them with `microexpr weights fetch`, transfer a bundle, or set weights = "random".',
    ),
    "E502": Explanation(
        "A weights file is damaged, or its sha256 is not the expected one.",
        "Download or copy it again.",
    ),
    "E503": Explanation(
        "A weights file is not in the safetensors format. Other formats can run code when they are loaded.",
        "Convert it with safetensors.torch.save_file if you trust it.",
    ),
    "E504": Explanation(
        "A weights file does not exist or cannot be read.",
        "Correct the path, or the permissions of the file.",
    ),
    "E505": Explanation(
        "A file holds the weights of another model.",
        'Specify weights of the model that the message names, or set weights = "imagenet" or "random".',
    ),
    "E506": Explanation(
        "Weights could not be downloaded.",
        "Check the network and HF_ENDPOINT, or transfer a bundle from another machine.",
    ),
    "E507": Explanation(
        "The hub states no size or sha256, so a download could not be verified.",
        "Check HF_ENDPOINT, or transfer a bundle from another machine.",
    ),
    "E508": Explanation(
        "There are no published weights of this name.",
        "Use a name that `microexpr weights list` prints, such as 'poolformer_m36.sail_in1k'.",
    ),
    "E509": Explanation(
        "The weights folder, or a bundle, cannot be written.",
        "Choose another path, or set MICROEXPR_WEIGHTS to another folder.",
    ),
    "E510": Explanation(
        "A file is not a complete weights bundle.",
        "Create it again with `microexpr weights bundle`, or copy it again.",
    ),
    "E511": Explanation(
        "The list of weights in the weights folder cannot be read.",
        "Move it away and fetch the weights again.",
    ),
    "E512": Explanation(
        "There are no published weights of this model.",
        'Set weights = "random", or give the path of a .safetensors file.',
    ),
    "E513": Explanation(
        "There are no published weights of this model for this checkpoint_size.",
        "Use a size that the message lists, or leave the parameter out.",
    ),
    "E514": Explanation(
        "Pretrained weights do not fit the number of channels.",
        'Choose another representation, or set weights = "random".',
    ),
}

# E6: results, caches and checkpoints on disk.
STORE: Mapping[str, Explanation] = {
    "E601": Explanation(
        "Results cannot be written to a file or folder.",
        "Check permissions and disk space, or choose another folder for `--out`.",
    ),
    "E602": Explanation(
        "Results, or the card of a stored model, were written by another version of microexpr, in another format.",
        "Choose another `--out` to train again, or use the version that wrote them.",
    ),
    "E603": Explanation(
        "The output folder holds results from other data or from another experiment.",
        "Choose another folder for `--out`, or remove the results that the message names.",
    ),
    "E604": Explanation(
        "The output folder holds results for folds that differ from those of the experiment.",
        "Choose another folder for `--out`, or remove the results that the message names.",
    ),
    "E605": Explanation(
        "A stored file is damaged.",
        "Remove the file that the message names; the next run creates it again.",
    ),
    "E606": Explanation(
        "A folder holds no fitted model.",
        "Name the output folder (`--out`) of a `microexpr fit`, or fit a model there.",
    ),
    "E607": Explanation(
        "The storage of tuning trials cannot be used or stopped responding.",
        "Check that the database or folder is writable; the same command continues where it stopped.",
    ),
    "E608": Explanation(
        "The storage of tuning trials holds a different search under the same name.",
        "Choose another `--out` or `--storage`, or rename the experiment.",
    ),
    "E609": Explanation(
        "In the stored results, a clip is tested twice within one repeat.",
        "Remove the results that the message names and run again.",
    ),
    "E610": Explanation(
        "Another run is using the output folder.",
        "Wait until it ends, or choose another folder for `--out`.",
    ),
    "E611": Explanation(
        "A process that was to train a fold plans another experiment than the process that started it.",
        "Give all processes the same data, starting weights and code, and start again; stored folds are kept.",
    ),
    "E615": Explanation(
        "A folder holds no results.",
        "Name the `--out` of a study or an experiment, or its folder `results`.",
    ),
    "E616": Explanation(
        "The beginning of a key is that of no experiment of a store, or of several.",
        "Write more of the key; `microexpr store ls` lists them.",
    ),
    "E613": Explanation(
        "No study was started in the folder.",
        "Name the folder that was the `--out` of `microexpr study` or `microexpr run`.",
    ),
    "E614": Explanation(
        "Folds of a study have no result yet.",
        "Wait for the workers (`microexpr status`), or start the study again to train what is missing.",
    ),
    "E612": Explanation(
        "A folder holds no summary from which pages can be written.",
        "Name the output folder (`--out`) of a study, a comparison or a tuning.",
    ),
    "E630": Explanation(
        "A file of measurements cannot be read, or is of another format.",
        "Correct the path, or remove the file and measure again with `microexpr bench`.",
    ),
    "E631": Explanation(
        "A file holds measurements of another machine, software or size, which cannot be continued or compared.",
        "Choose another file for `--out`, or remove the old one; add `--small` to `--against committed`.",
    ),
    "E650": Explanation(
        "A checkpoint cannot be read.",
        "Train the model again, or copy the file again.",
    ),
    "E651": Explanation(
        "A checkpoint holds another model, or the same model with other parameters.",
        "Load it with the model and parameters with which it was trained.",
    ),
    "E652": Explanation(
        "The frames of a clip do not give the input that the model takes: other size, channels or range of values.",
        "Record or convert the frames as the model's training data were, or use a preprocessing that resizes.",
    ),
    "E653": Explanation(
        "A stored model uses a component from outside the package that is not registered here.",
        "Import the module that registers the component, or install its package, before the model is loaded.",
    ),
    "E654": Explanation(
        "The graph of an exported model does not compute what its network computes, so it was not written.",
        "Export in float32 or for the other runtime, or predict with `--runtime torch`.",
    ),
    "E655": Explanation(
        "A network cannot be converted: the converter lacks one of its operations, or crashed.",
        "Export for the other runtime, or predict with `--runtime torch`.",
    ),
    "E656": Explanation(
        "The folder of an exported model is incomplete or damaged.",
        "Copy the folder again, or export the model again.",
    ),
    "E657": Explanation(
        "The folder for an exported model holds other files.",
        "Name an empty or new folder with `--out`, or that of an earlier export.",
    ),
}

# E7: training, prediction and tuning.
TRAINING: Mapping[str, Explanation] = {
    "E702": Explanation(
        "A classifier needs two classes in the training rows, but they contain only one.",
        "Choose another protocol or label set.",
    ),
    "E703": Explanation(
        "The loss became infinite or not a number.",
        'Set a smaller training.learning_rate, or training.precision = "float32".',
    ),
    "E720": Explanation(
        "No experiment of a study could be trained.",
        "Change the setting that the message names.",
    ),
    "E721": Explanation(
        "No tuning trial could be trained.",
        "Look at the reason that the message gives, and change the search space or the experiment.",
    ),
    "E722": Explanation(
        "A trial repeats values that could not be trained.",
        "No action needed: the search continues with other values.",
    ),
    "E723": Explanation(
        "A search has too few subjects for its inner folds.",
        'Set tuning.inner lower, or tuning.groups higher or to "folds".',
    ),
    "E750": Explanation(
        "A launcher cannot start workers: a wrong setting, a cluster that does not answer, or folders it cannot reach.",
        "Correct what the message names; nothing was started.",
    ),
    "E751": Explanation(
        "Workers of this launcher end with the command that started them.",
        "Leave out `--detach`, or choose `--launcher slurm`.",
    ),
    "E752": Explanation(
        "Workers were started several times and ended without training a fold.",
        "Look at the logs that the message names; the same command continues where it stopped.",
    ),
    "E753": Explanation(
        "Several processes ended while they trained a fold, mostly for lack of memory.",
        "Give each worker more memory or train fewer folds at once, and add `--retry-failed`.",
    ),
    "E754": Explanation(
        "A component or a library raised an error while a fold was trained.",
        "Read the traceback in the fold's `.failed.json`, correct the cause, and add `--retry-failed`.",
    ),
    "E755": Explanation(
        "The training of a fold does not end within the time limit of a worker.",
        "Set a longer limit, such as `--resource minutes=600`, and add `--retry-failed`.",
    ),
    "E757": Explanation(
        "The training of a fold took longer than `--fold-minutes` allows.",
        "Allow more minutes, or look at what it waits for, and add `--retry-failed`.",
    ),
    "E756": Explanation(
        "Processes that read frames ended without an error, mostly for lack of memory.",
        "Use fewer `--workers`; the same command continues where it stopped.",
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
        "Provide predictions for more clips, or choose the interval that the message suggests.",
    ),
    "E803": Explanation(
        "All clips are from one subject, so nothing can be said about other subjects.",
        "Provide clips from at least two subjects, or resample clips.",
    ),
    "E804": Explanation(
        "All clips belong to one class, so scores over classes are not meaningful.",
        "Provide clips of at least two classes.",
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
        "If one clip or subject is left out, no class remains to be scored.",
        "Provide more clips, or clips from more subjects.",
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
        "Run both on the same version of the annotations. Compare results on shuffled labels only with each other.",
    ),
    "E817": Explanation(
        "No method can be chosen within the training subjects: too few methods, or folds that do not fit.",
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
        "A folder to compare holds several experiments, or only baselines that do not use images.",
        "Name the folder of one experiment, results/KEY; the message lists them.",
    ),
    "E821": Explanation(
        "An experiment to compare is not finished: some folds have no result yet.",
        "Run the same command again; only the missing folds are trained.",
    ),
    "E851": Explanation(
        "A summary was written by another version of microexpr, in another format.",
        "Run the study again with this version; finished folds are not trained again.",
    ),
}

# E9: other people's logs, tables and codings.
AUDITS: Mapping[str, Explanation] = {
    "E901": Explanation(
        "A log of predictions or a truth file is not in a known format, or its columns are not recognised.",
        "Use one of the formats that `microexpr audit log --help` describes, or name the columns with `--columns`.",
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
        "Log and truth file do not fit together: the order of the two columns is inconsistent, or many labels differ.",
        "Write truth and prediction in the same order in every line, and name the classes as in the truth file.",
    ),
    "E909": Explanation(
        "The log has no clips to score, or clips of one class only.",
        "Provide a log with clips of several classes that are in the truth file.",
    ),
    "E910": Explanation(
        "The log cannot be scored; the message lists every fault with its own code.",
        "Fix the listed faults.",
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
        "Fix the listed problems; `microexpr audit table --help` describes the file.",
    ),
    "E930": Explanation(
        "A coding lacks a required column or value, or has no rows.",
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
