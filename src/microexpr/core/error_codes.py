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
        "The folder for a synthetic database holds other files, or one of another spec.",
        "Name an empty or new folder, or the one of the same spec to finish it.",
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
    "E302": Explanation(
        "The clips have fewer than two classes, so that no score can be computed.",
        "Choose another label set, or databases with more classes.",
    ),
    "E303": Explanation(
        "There are fewer subjects, clips or databases than the protocol needs.",
        "Use fewer folds or groups, add data, or choose another protocol.",
    ),
    "E304": Explanation(
        "A fold has no clips, or clips of a single class only, to train on or to test.",
        "Change the number of folds or the shares, join small classes by another label set, or choose other databases.",
    ),
    "E305": Explanation(
        "Two subjects or databases would have the same name in file names.",
        "Rename one of them, or give a namespace.",
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
        "Change the shares, join small classes by another label set, or use the protocol 'loso'.",
    ),
    "E309": Explanation(
        "A protocol names a database that has no clips in the table.",
        "Use one of the databases that the message lists, or add the database to the experiment.",
    ),
    "E310": Explanation(
        "The clips in a file of folds are not those of the experiment.",
        "Use the databases and the label set with which the folds were made.",
    ),
    "E311": Explanation(
        "A file of folds claims to be subject-independent, but is not for the subjects of this table.",
        "Use the data with which the folds were made; check how subjects are named.",
    ),
    "E312": Explanation(
        "There are fewer different splits than the requested number of repeats.",
        "Request fewer repeats, or use a smaller k.",
    ),
}

# E4: methods that the data do not allow: models, samplings, representations, losses.
METHODS: Mapping[str, Explanation] = {
    "E401": Explanation(
        "The data do not have what a method needs: frames, channels, times or a size.",
        "Choose another sampling, representation or model, as the message suggests.",
    ),
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
        "The model has no auxiliary outputs, so that it cannot learn targets.",
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
        "A sampling, representation or preprocessing needs a sequence of frames, but the clip is a precomputed image "
        "without time.",
        'Set sampling = "image" and representation = "pixels", with a model for images.',
    ),
}

# E5: pretrained weights.
WEIGHTS: Mapping[str, Explanation] = {
    "E501": Explanation(
        "Published weights are not in the folder of weights.",
        'Download them with `microexpr weights fetch`, transfer a bundle, or set weights = "random".',
    ),
    "E502": Explanation(
        "A file of weights is damaged, or its sha256 is not the expected one.",
        "Download or copy it again.",
    ),
    "E503": Explanation(
        "A file of weights is not in the safetensors format. Other formats can run code when they are loaded.",
        "Convert it with safetensors.torch.save_file if you trust it.",
    ),
    "E504": Explanation(
        "A file of weights does not exist or cannot be read.",
        "Correct the path or the rights of the file.",
    ),
    "E505": Explanation(
        "A file holds the weights of another model.",
        'Give a file of the model that the message names, or set weights = "imagenet" or "random".',
    ),
    "E506": Explanation(
        "Weights could not be downloaded.",
        "Check the network and HF_ENDPOINT, or transfer a bundle from another machine.",
    ),
    "E507": Explanation(
        "The hub states no size and sha256, so that a download could not be verified.",
        "Check HF_ENDPOINT, or transfer a bundle from another machine.",
    ),
    "E508": Explanation(
        "This is not a name of published weights.",
        "Use a name that `microexpr weights list` prints, such as 'poolformer_m36.sail_in1k'.",
    ),
    "E509": Explanation(
        "The folder of weights, or a bundle, cannot be written.",
        "Choose another path, or set MICROEXPR_WEIGHTS to another folder.",
    ),
    "E510": Explanation(
        "A file is not a complete bundle of weights.",
        "Make it again with `microexpr weights bundle`, or copy it again.",
    ),
    "E511": Explanation(
        "The list of weights in the folder cannot be read.",
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
        "Results cannot be written to a folder or read from it.",
        "Choose another folder, or remove what the message names.",
    ),
    "E602": Explanation(
        "The results were written by another version of microexpr, in another format.",
        "Choose another `--out` to train again, or read the results with the version that wrote them.",
    ),
    "E650": Explanation(
        "A checkpoint cannot be read.",
        "Train the model again, or copy the file again.",
    ),
    "E651": Explanation(
        "A checkpoint holds another model, or the same model with other parameters.",
        "Load it with the model and parameters with which it was trained.",
    ),
}

# E7: training, prediction and tuning.
TRAINING: Mapping[str, Explanation] = {
    "E701": Explanation(
        "A training cannot go on.",
        "Change the setting that the message names.",
    ),
    "E702": Explanation(
        "A classifier needs two classes in the training rows, but they have one.",
        "Choose another protocol or label set.",
    ),
    "E703": Explanation(
        "The loss became infinite or not a number.",
        'Set a smaller training.learning_rate, or training.precision = "float32".',
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
