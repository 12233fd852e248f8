from __future__ import annotations

import tomllib

import numpy as np
import pytest

from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.config.loading import SHIPPED as STUDIES
from microexpr.config.loading import parse, parse_setting
from microexpr.config.study import METHODS, Study, load
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, OldNameWarning, UnknownComponentError
from microexpr.core.labels import label_set
from microexpr.core.randomness import rng_for
from refusal import refuses
from shell import microexpr

BASE = Experiment().with_values({"datasets": "casme2", "labels": "casme2_7", "model": "vit_b32"})
"""What has no default, set."""
STUDY = {"name": "s", "title": "t", "experiment": {"datasets": "casme2", "labels": "casme2_7", "model": "vit_b32"}}


def test_defaults_are_neutral_and_settings_of_training_the_papers():
    assert Experiment().loss == (Component(name="cross_entropy"),)
    assert Experiment().protocol == Component(name="loso")
    training, experiment = Experiment().training, Experiment()
    assert (training.learning_rate, training.weight_decay, training.epochs) == (5e-5, 1e-3, 50)
    assert (training.batch, training.patience) == (16, 5)
    assert experiment.bootstrap.n == 1000
    m1 = interfaces.preprocessors.build("m1", {})
    m2 = interfaces.preprocessors.build("m2", {})
    assert (m1.crop, m1.size, m1.colour, m1.centre) == ("centre", 384, "rgb", "resized")
    assert (m2.crop, m2.size, m2.colour, m2.margin, m2.box, m2.border) == ("face", 224, "grey", 20, "frame", "clamp")


def test_round_trip_through_toml(tmp_path):
    experiment = BASE.with_values({"preprocessing.size": 96, "model.dropout": 0.2, "loss": "focal"})
    file = tmp_path / "e.toml"
    file.write_text(experiment.to_toml(), "utf-8")
    again = load(Experiment, file)
    assert again == experiment
    assert again.key() == experiment.key()


def test_dotted_keys_reach_components_and_tables():
    experiment = BASE.with_values({"preprocessing": "m2", "preprocessing.box": "onset", "training.epochs": 2})
    assert experiment.preprocessing == Component(name="m2", params={"box": "onset"})
    assert experiment.training.epochs == 2
    with refuses("E107", "seed.x", kind=ConfigError):
        experiment.with_values({"seed.x": 1})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"modle": "vit_b32"}, ["unknown key 'modle'", "did you mean 'model'"]),
        ({"training": {"epoch": 3}}, ["training.epoch", "did you mean 'epochs'"]),
        ({"training": {"epochs": 0}}, ["training.epochs", "greater than or equal to 1"]),
        ({"seed": "x"}, ["seed", "valid integer"]),
    ],
)
def test_wrong_keys_are_named(content, words):
    with refuses("E102", "x.toml", *words, kind=ConfigError):
        parse(Experiment, content, "x.toml")


def test_unknown_components_and_parameters_are_named():
    with refuses("E103", "did you mean 'vit_b32'", "poolformer_m36", kind=UnknownComponentError):
        BASE.with_values({"model": "vit_b23"}).check()
    with refuses("E110", "'drop_pth'", "(did you mean 'drop_path'?)", kind=ConfigError):
        BASE.with_values({"model.drop_pth": 0.1}).check()
    with refuses("E112", "size = 'big'", kind=ConfigError):
        BASE.with_values({"preprocessing.size": "big"}).check()
    with refuses("E103", "label set 'casme2_8'", kind=UnknownComponentError):
        BASE.with_values({"labels": "casme2_8"}).check()


def test_key_ignores_names_and_written_out_defaults_and_follows_everything_else():
    key = BASE.key()
    assert BASE.with_values({"name": "other"}).key() == key
    assert BASE.with_values({"preprocessing.size": 384}).key() == key
    assert BASE.with_values({"bootstrap.n": 5000}).key() == key  # scoring, not training
    changed = [{"seed": 1}, {"preprocessing.size": 224}, {"training.batch": 8}, {"labels": "casme2_5"}, {"shuffled": 1}]
    keys = {BASE.with_values(values).key() for values in changed}
    assert len({key, *keys}) == 6
    assert BASE.key(sha256="abc") != key


SCRATCH, PRETRAINED = 1e-3, 5e-5
FIXED_BEFORE = {("motion", "off_apexnet")}
"""Recipes that were fixed and run before there was the rule; their study file says so, and that none changed after."""


def learning_rates(study):
    """Return what trains in epochs in a study: setting or method, whether a part of it is pretrained, learning rate."""
    for place, cell in zip(study.places(), study.cells(), strict=True):
        model = cell.model.build(interfaces.models)
        if model.trains_in_epochs:
            weights = getattr(model, "weights", "random") or ("imagenet" if model.tags else "random")
            yield place.get(METHODS, cell.name), weights != "random", cell.training.learning_rate


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda file: file.stem)
def test_pretrained_networks_train_at_one_rate_and_those_from_scratch_at_another(file):
    if not {"grid", "methods"} & set(tomllib.loads(file.read_text("utf-8"))):
        pytest.skip("one experiment, and nothing beside it")
    rates = {
        name: (PRETRAINED if pretrained else SCRATCH, rate)
        for name, pretrained, rate in learning_rates(load(Study, file))
    }
    other = {name for name, (rule, rate) in rates.items() if rate != rule}
    assert other == {name for study, name in FIXED_BEFORE if study == file.stem}


def test_table_6_mixes_both_rates_and_runs_aumes_with_its_focal_loss():
    rates = {name: rate for name, _, rate in learning_rates(load(Study, STUDIES / "table6.toml"))}
    assert rates["micron_bert"] == rates["entropy_vit"] == rates["composite_cnn"] == SCRATCH
    assert rates["cnn_convlstm_vit"] == rates["poolformer_lstm"] == rates["vit_b32"] == PRETRAINED
    for file in ("table6.toml", "table6_cpu.toml"):
        study = load(Study, STUDIES / file)
        losses = {place[METHODS]: cell.loss for place, cell in zip(study.places(), study.cells(), strict=True)}
        assert [loss.name for loss in losses.pop("dual_stream_3dcnn")] == ["focal"]
        assert {loss.name for several in losses.values() for loss in several} == {"cross_entropy"}


@pytest.mark.parametrize("file", ["paradox.toml", "paradox_casme3.toml"])
def test_the_paradox_starts_from_one_checkpoint_at_every_size(file):
    study = load(Study, STUDIES / file)
    sizes = study.grid["preprocessing.size"]
    views = [interfaces.ViewSpec((1, size, size, 3), ("r", "g", "b")) for size in sizes]
    assert len(sizes) == 2
    for cell in study.cells():
        architecture = cell.model.build(interfaces.models).architecture
        assert len({architecture.tag(view) for view in views}) == 1


def test_a_parameter_added_later_leaves_the_keys_of_stored_results():
    entropy = BASE
    assert entropy.canonical()["loss"] == [{"name": "cross_entropy", "revision": 1, "params": {"weighted": True}}]
    assert entropy.with_values({"loss": {"name": "cross_entropy", "reduction": "rows"}}).key() == entropy.key()
    assert entropy.with_values({"loss": {"name": "cross_entropy", "reduction": "weights"}}).key() != entropy.key()


def test_key_follows_revisions(monkeypatch):
    before = BASE.with_values({"preprocessing": "m2"}).key()
    interfaces.detectors.get("dlib_hog")
    monkeypatch.setitem(interfaces.detectors._revisions, "dlib_hog", 2)
    assert BASE.with_values({"preprocessing": "m2"}).key() != before


def test_what_is_not_set_may_be_set_later_and_has_to_be(tmp_path):
    unset = Experiment().with_values({"labels": "as_given", "seed": 3})
    with refuses("E119", "datasets, model", "`microexpr data list`", "small_cnn", kind=ConfigError) as error:
        unset.check()
    assert "labels" not in str(error.value)
    (tmp_path / "e.toml").write_text(unset.to_toml(), "utf-8")
    with refuses("E119", tmp_path / "e.toml", kind=ConfigError):
        load(Experiment, tmp_path / "e.toml")
    later = {"datasets": "casme2", "model": {"name": "small_cnn", "width": 8}}
    experiment = load(Experiment, tmp_path / "e.toml", later)
    assert experiment == unset.with_values(later)
    assert (experiment.seed, experiment.model.label) == (3, "small_cnn(width=8)")


@pytest.mark.parametrize(
    "content",
    [
        {"grid": {"model": ["small_cnn", "vit_nano"]}, "baselines": ["majority"]},
        {"methods": {"a": {"model": "small_cnn"}, "b": {"model": "pca_svm"}}, "baselines": ["majority"]},
    ],
)
def test_a_study_may_set_the_model_in_its_grid_or_methods_alone(content):
    base = {"datasets": "casme2", "labels": "casme2_7"}
    parse(Study, {**STUDY, "experiment": base, **content}, "s").check()
    for named in ("datasets", "labels"):
        without = {key: value for key, value in base.items() if key != named}
        with refuses("E119", named, kind=ConfigError):
            parse(Study, {**STUDY, "experiment": without, **content}, "s").check()


def test_every_cell_and_the_named_cell_need_a_model():
    study = {**STUDY, "experiment": {"datasets": "casme2", "labels": "casme2_7"}}
    methods = {"a": {"model": "small_cnn"}, "b": {"sampling": "kfs"}}
    with refuses("E119", "'b-0'", "model", kind=ConfigError):
        parse(Study, {**study, "methods": methods}, "s").check()
    named = {"grid": {"model": ["small_cnn"]}, "named_cell": {"set": {"sampling": "kfs", "protocol": "loso"}}}
    with refuses("E119", "'kfs-loso'", "model", kind=ConfigError):
        parse(Study, {**study, **named}, "s").check()


def test_study_crosses_its_grid_and_names_cells():
    study = load(Study, STUDIES / "paper.toml")
    study.check()
    cells = study.cells()
    assert len(cells) == 24
    assert len({cell.key() for cell in cells}) == 24
    assert cells[0].name == "m1-af-vit_b32"
    # What the paper states is in the file; settings of training and of components are those of the defaults.
    torchs = [{"name": "cross_entropy", "reduction": "weights"}, "focal"]
    assert cells[0].key() == BASE.with_values({"loss": torchs, "protocol": "paper_holdout"}).key()


def test_every_shipped_study_file_is_right():
    files = sorted(STUDIES.glob("*.toml"))
    assert len(files) >= 3
    for file in files:
        text = file.read_text("utf-8")
        load(Study if "[experiment]" in text else Experiment, file).check()


def test_files_that_cannot_be_read(tmp_path):
    with refuses("E101", tmp_path / "none.toml", kind=ConfigError):
        load(Study, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = [", "utf-8")
    with refuses("E106", tmp_path / "bad.toml", kind=ConfigError):
        load(Study, tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("training.epochs=2", 2), ("model=ststnet", "ststnet"), ("a=[1, 2]", [1, 2]), ("a=0.5", 0.5), ("a=true", True)],
)
def test_settings(text, value):
    assert parse_setting(text)[1] == value


def test_setting_without_value():
    with refuses("E107", "key=value", kind=ConfigError):
        parse_setting("epochs")


def test_random_streams_are_apart_and_repeat():
    first, again = rng_for(0, "split").random(4), rng_for(0, "split").random(4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, rng_for(0, "bootstrap").random(4))
    assert not np.array_equal(first, rng_for(1, "split").random(4))


@pytest.mark.parametrize(
    ("override", "code", "named"),
    [
        ({"when": {"model": "vit_nanoo"}, "set": {}}, "E103", "model 'vit_nanoo'"),
        ({"when": {"model": "vit_b32"}, "set": {}}, "E122", "{'model': 'vit_b32'}"),
        ({"when": {"sampling": "af"}, "set": {"model": "vit_nano"}}, "E122", "set.model"),
        ({"when": {"sampling": "af"}, "set": {"training.epoch": 1}}, "E102", "training.epoch"),
    ],
)
def test_overrides_that_are_wrong(override, code, named):
    study = parse(Study, {**STUDY, "grid": {"model": ["small_cnn"]}, "overrides": [override]}, "s")
    with refuses(code, named, kind=ConfigError):
        study.check()


def test_axes_that_the_report_cannot_compare():
    for axis, values in (("datasets", ["casme2"]), ("bootstrap.n", [100, 200]), ("protocol", ["loso"])):
        study = parse(Study, {**STUDY, "grid": {axis: values}}, "s")
        with refuses("E120", f"'{axis}'", "preprocessing, sampling, model", kind=ConfigError):
            study.check()


FACTORS = {
    "preprocessing": [
        {"name": "crop", "crop": "none"},
        {"name": "crop", "crop": "face", "box": "frame"},
        {"name": "crop", "crop": "face", "box": "onset"},
    ],
    "preprocessing.size": [32, 48],
    "preprocessing.colour": ["rgb", "grey"],
    "augmentation": [[], "crop_jitter", [{"name": "crop_jitter", "percent": 2}, "flip"]],
    "sampling": ["af"],
    "training.epochs": [2, 4],
}


def test_a_grid_may_vary_any_part_and_words_tell_its_cells_apart():
    study = parse(Study, {**STUDY, "grid": FACTORS}, "s")
    study.check()
    cells, factors = study.cells(), study.factors()
    assert len(cells) == len(factors) == 3 * 2 * 2 * 3 * 2
    assert len({cell.key() for cell in cells}) == len({cell.name for cell in cells}) == len(cells)
    assert len({tuple(words.items()) for words in factors}) == len(cells)
    assert factors[0] == {
        "preprocessing": "none", "size": "32", "colour": "rgb", "augmentation": "none", "epochs": "2",
    }  # fmt: skip
    assert {words["preprocessing"] for words in factors} == {"none", "face frame", "face onset"}
    assert {words["augmentation"] for words in factors} == {"none", "crop_jitter", "crop_jitter + flip"}
    for cell, words in zip(cells, factors, strict=True):
        assert str(cell.preprocessing.params["size"]) == words["size"]
        assert cell.preprocessing.params["colour"] == words["colour"]
        assert ("flip" in words["augmentation"]) == ("flip" in [item.name for item in cell.augmentation])
        assert str(cell.training.epochs) == words["epochs"]


def test_axes_that_end_alike_keep_their_whole_names():
    grid = {"preprocessing.size": [32, 48], "model.size": [1, 2], "seed": [0, 1]}
    assert list(parse(Study, {**STUDY, "grid": grid}, "s").factors()[0]) == [
        "preprocessing.size", "model.size", "seed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("grid", "cells"),
    [
        ({"model": ["small_cnn", "small_cnn"]}, ["(model small_cnn)"]),
        ({"preprocessing": ["m1", {"name": "m1", "size": 384}]}, ["(preprocessing m1)", "(preprocessing size 384)"]),
        (
            {"preprocessing": ["m1", "m2"], "preprocessing.size": [64], "training.batch": [16, 16]},
            ["(preprocessing m1, batch 16)"],
        ),
    ],
)
def test_cells_that_are_one_experiment_are_refused(grid, cells):
    study = parse(Study, {**STUDY, "grid": grid}, "s")
    with refuses("E121", *cells, kind=ConfigError):
        study.check()


def test_baselines_are_not_augmented():
    content = {"augmentation": "flip", "model": "small_cnn"}
    study = parse(
        Study, {"name": "s", "title": "t", "experiment": content, "baselines": ["pca_svm"], "grid": FACTORS}, "s"
    )
    assert study.baseline_cells()[0].augmentation == ()


def test_baselines_are_trained_without_what_only_networks_gain_from():
    gains = {"label_smoothing": 0.1, "draw": "subjects", "ensemble": 3, "average_last": 2, "patience": 0}
    content = {"training": gains | {"schedule": "cosine"}, "model": "small_cnn"}
    study = parse(Study, {"name": "s", "title": "t", "experiment": content, "baselines": ["pca_svm"]}, "s")
    (baseline,) = study.baseline_cells()
    assert baseline.training.techniques == []
    assert baseline.training.schedule == "cosine"  # keys of what was stored stay
    assert study.cells()[0].training.techniques == ["label_smoothing", "draw", "average_last", "ensemble"]


def test_sizes_are_the_last_axis_the_largest_first():
    study = parse(Study, {**STUDY, "grid": {"model": ["small_cnn", "vit_nano"]}}, "s")
    sized = study.sized("train_clips", [50, 200, 50, None])
    sized.check()
    assert [cell.train_clips for cell in sized.cells()][:3] == [None, 200, 50]
    assert [words["train clips"] for words in sized.factors()][:3] == ["all", "200", "50"]
    assert sized.cells()[0].key() == study.cells()[0].key()  # all of them is what there was before
    assert len({cell.key() for cell in sized.cells()}) == 6
    with refuses("E102", "train_clips and train_subjects", kind=ConfigError):
        sized.cells()[1].with_values({"train_subjects": 3})


def test_own_labels_are_numbered_alike_however_they_are_written():
    first, second = {"disgust": "negative", "happiness": "positive"}, {"happiness": "positive", "disgust": "negative"}
    assert label_set(first, []).classes == label_set(second, []).classes == ("negative", "positive")


def test_where_weights_come_from_is_no_part_of_the_key():
    paths = [BASE.with_values({"model.weights": path}).key(sha256="a") for path in ("a.safetensors", "hub")]
    assert paths[0] == paths[1]


def test_overrides_reach_the_cells_that_match():
    study = parse(
        Study,
        {
            **STUDY,
            "grid": {"sampling": ["af", "mfs"], "model": ["small_cnn", "vit_nano"]},
            "overrides": [
                {"when": {"sampling": "mfs"}, "set": {"training.epochs": 2}},
                {"when": {"sampling": "mfs", "model": "vit_nano"}, "set": {"training.batch": 4, "model.dropout": 0.3}},
            ],
            "named_cell": {"set": {"sampling": "mfs", "bootstrap": {"unit": "subject"}}},
        },
        "s.toml",
    )
    cells = {(cell.sampling.name, cell.model.name): cell.training for cell in study.cells()}
    assert len(cells) == 4
    study.check()
    assert [cell.model.params for cell in study.cells()] == [{}, {}, {}, {"dropout": 0.3}]
    assert [cells["af", "small_cnn"].epochs, cells["mfs", "small_cnn"].epochs] == [50, 2]
    assert [cells["mfs", "small_cnn"].batch, cells["mfs", "vit_nano"].batch] == [16, 4]
    assert study.named().training.epochs == 2
    wrong = study.model_copy(update={"overrides": (study.overrides[0].model_copy(update={"when": {"seed": "1"}}),)})
    with refuses("E122", "when.seed", kind=ConfigError):
        wrong.cells()


FLOW = {"sampling": "onset_apex", "representation": {"name": "flow", "size": 28}, "model": {"name": "logistic", "C": 2}}


def compared(alternatives, **named):
    named = {"set": FLOW | {"protocol": "loso"}, "alternatives": alternatives} | named
    overrides = [{"when": {"model": "pca_svm"}, "set": {"model.components": 5}}]
    return parse(Study, STUDY | {"named_cell": named, "overrides": overrides}, "s.toml")


def test_alternatives_change_the_named_cell():
    study = compared(
        {
            "flow + PCA + SVM": {"model": "pca_svm"},
            "apex": {"sampling": "af", "representation": "pixels", "preprocessing.size": 48},
        },
        title="flow + logistic regression",
    )
    study.check()
    named, found = study.named(), study.alternatives()
    assert named.name == "flow + logistic regression"
    assert list(found) == [cell.name for cell in found.values()] == ["flow + PCA + SVM", "apex"]
    assert found["flow + PCA + SVM"].model == Component(name="pca_svm", params={"components": 5})  # the override
    assert found["flow + PCA + SVM"].representation == named.representation
    assert (found["apex"].model, found["apex"].preprocessing.params) == (named.model, {"size": 48})
    assert {cell.protocol.name for cell in found.values()} == {"loso"}
    assert compared({}).named().name == "onset_apex-flow-logistic-loso"
    assert compared({}).named().key() == named.key()
    assert parse(Study, {"name": "s", "title": "t"}, "s.toml").alternatives() == {}
    assert study.seeded([3, 4]).alternatives()["apex"].seed == 3


@pytest.mark.parametrize(
    ("alternatives", "code", "named"),
    [
        ({"a": {"modle": "pca_svm"}}, "E102", ["alternatives.a", "'modle' (did you mean 'model'?)"]),
        ({"a": {"model": "pca_swm"}}, "E103", ["alternatives.a", "'pca_svm'"]),
        ({"a": {"model.D": 3}}, "E110", ["alternatives.a", "'D'"]),
        ({"a": {"sampling": "af", "labels": "casme2_5"}}, "E120", ["alternatives.a", "'labels'"]),
        ({"a": {"datasets": "samm"}}, "E120", ["alternatives.a", "'datasets'"]),
        ({"a": {"protocol.name": "subject_kfold"}}, "E120", ["alternatives.a", "'protocol.name'"]),
        ({"a": {"seed": 1}}, "E120", ["alternatives.a", "'seed'"]),
        ({"a": {"train_clips": 9}}, "E120", ["alternatives.a", "'train_clips'"]),
        ({"a": {"bootstrap.n": 900}}, "E120", ["alternatives.a", "'bootstrap.n'"]),
        ({"a": {}}, "E121", ["alternatives.a", "the named cell"]),
        ({"a": {"model.C": 2}}, "E121", ["alternatives.a", "the named cell"]),
        ({"a": {"model": "pca_svm"}, "b": {"model": "pca_svm"}}, "E121", ["alternatives.b", "as a;"]),
        ({"": {"model": "pca_svm"}}, "E102", ["named_cell", "empty"]),
        ({"T": {"model": "pca_svm"}}, "E102", ["named_cell", "'T'"]),
    ],
)
def test_alternatives_that_are_wrong(alternatives, code, named):
    with refuses(code, *named, kind=ConfigError):
        study = compared(alternatives, title="T")
        study.model_copy(update={"overrides": ()}).check()


OLD = """
name = "old"
datasets = ["manifest"]
labels = "as_given"
model = "pca_svm"
train_persons = 4
training = { draw = "persons" }
bootstrap = { unit = "person" }
"""


def test_names_of_version_0_1_are_accepted_with_a_notice(tmp_path):
    (tmp_path / "old.toml").write_text(OLD)
    with pytest.warns(OldNameWarning) as notices:
        old = load(Experiment, tmp_path / "old.toml")
    (tmp_path / "new.toml").write_text(OLD.replace("person", "subject"))
    assert old == load(Experiment, tmp_path / "new.toml")
    assert old.key() == load(Experiment, tmp_path / "new.toml").key()
    said = " ".join(str(notice.message) for notice in notices)
    assert all(word in said for word in ("train_persons", 'draw = "persons"', 'unit = "person"', "old.toml"))


def test_the_command_shows_a_notice_of_an_old_name(tmp_path):
    (tmp_path / "old.toml").write_text(OLD)
    answer = microexpr("run", tmp_path / "old.toml", "--data", tmp_path / "none", "--out", tmp_path / "out")
    assert "train_persons is now train_subjects" in answer.err
