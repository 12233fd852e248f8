"""Full-size models: what is measured of which, the page, and, slowly, that every one of them runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microexpr.api import weights_tags
from microexpr.components.datasets.synthetic import make
from microexpr.config.loading import shipped
from microexpr.config.study import METHODS, Study, load
from microexpr.core import interfaces as contracts
from tools import full_size

STUDY = shipped()["table6"]
CELLS = {
    place[METHODS]: cell
    for place, cell in zip(load(Study, STUDY).places(), load(Study, STUDY).cells(), strict=True)
    if full_size.has_body(cell)
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    make(root, full_size.FACES)
    return root


def test_every_network_of_the_study_is_measured_and_nothing_that_is_fitted_to_features():
    assert {"vit_b32", "swin_b", "poolformer_m48", "mobilevit_svm", "micron_bert", "poolformer_gru"} <= set(CELLS)
    assert not {"apex_pca_svm", "flow_logistic", "lbp_top_svm", "bi_woof_svm"} & set(CELLS)
    small = full_size.full_size(CELLS["poolformer_lstm"])
    assert small.model.params["weights"] == "random"
    assert small.training.epochs == full_size.EPOCHS
    assert small.model.name == "poolformer_lstm"
    assert "size" not in small.model.params


def test_a_measurement_says_what_was_run(faces, tmp_path):
    found = full_size.measure(full_size.full_size(CELLS["ststnet"]), faces, tmp_path)
    assert found["parameters"] == 1683
    assert (found["input"], found["steps"], found["label"]) == ("28x28", 1, "STSTNet")
    assert found["frames_a_second"] > 0
    assert found["ms_a_clip"] > 0
    assert found["memory_mb"] > 50
    # A database without depth leaves the depth method out.
    assert full_size.measure(full_size.full_size(CELLS["poolformer_depth"]), faces, tmp_path) == {}


def test_the_page_has_a_table_a_device_and_says_what_was_not_measured():
    row = {"method": "a", "model": "vit_b32", "label": "ViT-B/32", "input": "224x224", "steps": 1}
    row |= {"parameters": 87_500_000, "frames_a_second": 3.25, "ms_a_clip": 140.4, "memory_mb": 2000.6}
    slow = {**row, "device": "a CPU", "threads": 2, "accelerator": False}
    page = full_size.written([slow])
    assert "## a CPU, 2 threads" in page
    line = "| a | ViT-B/32 | 224x224 | 1 | 87,500,000 | 88.20 | Steiner et al. 2022 | 3.25 | 140 | 2,001 |"
    assert line in page
    assert "On an accelerator: not measured" in page
    both = full_size.written([slow, {**slow, "device": "a GPU", "accelerator": True}])
    assert "## a GPU" in both
    assert "not measured" not in both


def test_rows_of_other_devices_stay(tmp_path, monkeypatch):
    page = tmp_path / "models.md"
    row = {"method": "a", "model": "x", "label": "X", "input": "8x8", "steps": 1, "parameters": 1, "threads": 1}
    row |= {"frames_a_second": 1.0, "ms_a_clip": 1.0, "memory_mb": 1.0}
    gpu = {**row, "device": "a GPU", "accelerator": True}
    old = {**row, "device": "a CPU", "accelerator": False, "parameters": 7}
    page.with_suffix(".json").write_text(json.dumps([gpu, old]))
    monkeypatch.setattr(full_size, "measured", lambda study, out: [{**old, "parameters": 8}])
    full_size.main([str(STUDY), str(tmp_path / "out"), str(page)])
    kept = json.loads(page.with_suffix(".json").read_text())
    assert [(each["device"], each["parameters"]) for each in kept] == [("a GPU", 1), ("a CPU", 8)]
    assert "## a GPU" in page.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", CELLS)
def test_a_full_size_network_trains_two_epochs_and_predicts(method, faces, tmp_path):
    found = full_size.measure(full_size.full_size(CELLS[method]), faces, tmp_path)
    assert (found == {}) == (method == "poolformer_depth")
    known = full_size.LITERATURE.get(found.get("model", ""))
    if known and found["model"] != "mobilevit_svm":  # without the classifier of 1,000 classes
        assert found["parameters"] / 1e6 == pytest.approx(known["printed"], rel=0.06)


def test_the_study_says_which_weights_to_fetch_and_all_of_them_are_published():
    line = next(line for line in STUDY.read_text("utf-8").splitlines() if "weights fetch" in line)
    names = line.split("weights fetch ")[1].split()
    tags = set(weights_tags(names))
    for cell in CELLS.values():
        if cell.model.params.get("weights", "imagenet") == "imagenet":
            assert set(getattr(cell.model.build(contracts.models), "tags", ())) <= tags, cell.model.label
