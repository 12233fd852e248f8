"""Exporting a stored network: what is written, that it predicts the same, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import microexpr
from conftest import recipe, write_database
from microexpr.core.parallel import in_new_process
from microexpr.core.processor import native_bf16
from microexpr.learning import conversion, export, exported, graph
from microexpr.learning import pipeline as pipelines
from microexpr.learning.conversion import Agreement, Converted
from microexpr.learning.learners import ExportedNetwork, Network
from microexpr.learning.pipeline import Pipeline
from networks_to_export import stored
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = 64
"""Views that are compared, to save time."""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Three subjects with four clips of seven frames: with seven views each, several batches."""
    return write_database(tmp_path_factory.mktemp("small"), subjects=3, clips=4)


@pytest.fixture(scope="module")
def fitted(small, tmp_path_factory) -> Path:
    """A fitted model with its graph for OpenVINO."""
    out = tmp_path_factory.mktemp("fitted") / "model"
    microexpr.fit(recipe().with_values({"sampling": "mfs", "training.epochs": 2}), small, out, workers=1)
    done = microexpr.export(out, to="openvino", views=FEW)
    assert done.folder == out / "openvino"
    assert done.agreement.probability < 1e-5
    return out


@pytest.fixture(autouse=True)
def without_cuda(monkeypatch) -> None:
    """`auto` uses no graph where torch has CUDA."""
    monkeypatch.setattr(pipelines, "device", lambda: torch.device("cpu"))


@pytest.fixture
def model(fitted, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(fitted, tmp_path / "model", ignore=shutil.ignore_patterns("cache", ".lock")))


def edit(folder: Path, **section: object) -> None:
    """Change the section of a card."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card["exported"] |= section
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- what is written --------------------------------------------------------------------------------------------------
def test_the_folder_holds_the_graph_and_the_whole_card(fitted):
    folder = fitted / "openvino"
    assert {file.name for file in folder.iterdir()} == {"model.xml", "model.bin", "card.json", "lineage.json"}
    card = json.loads((folder / "card.json").read_text("utf-8"))
    section = card.pop("exported")
    assert card == json.loads((fitted / "card.json").read_text("utf-8"))
    assert {"experiment", "classes", "vote", "view", "normalisation", "licence"} <= set(card)
    assert section["weights"] == exported.file_sha256(fitted / "model.safetensors")
    assert section["files"] == {name: exported.file_sha256(folder / name) for name in ("model.xml", "model.bin")}
    assert (section["runtime"], section["precision"], section["outputs"]) == ("openvino", "float32", ["logits"])
    assert section["input"]["shape"] == ["batch", 1, 3, 32, 32]
    agreement = section["agreement"]
    assert (agreement["views"], agreement["same class"]) == (FEW, 1)
    assert 0 < agreement["largest change of a logit"] < 1e-4


@pytest.mark.numeric
def test_a_graph_predicts_what_the_network_predicts(fitted, small, tmp_path):
    expected = microexpr.predict(fitted, small, runtime="torch", workers=1)
    alone = Path(shutil.copytree(fitted / "openvino", tmp_path / "elsewhere"))
    assert set(expected["notes"]) == {"trained on these frames"}
    for place, runtime in ((fitted, "openvino"), (fitted, "auto"), (alone, "auto"), (alone, "openvino")):
        found = microexpr.predict(place, small, runtime=runtime, workers=1)
        names = ["key", "subject", "coded", "label", "notes"]
        assert found[names].equals(expected[names])
        scores = [frame.filter(like="p_").to_numpy() for frame in (found, expected)]
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-5)
        assert not np.array_equal(*scores), "torch computed both"


@pytest.mark.numeric
def test_auxiliary_outputs_and_several_frames_at_several_batch_sizes(tmp_path):
    """A network with recurrence and indices by row, which a graph traced with one view would compute wrongly."""
    place = stored("cnn_convlstm_vit", tmp_path / "model", side=32, targets=True)
    (tmp_path / "graph").mkdir()
    task = conversion.Task(place, tmp_path / "graph", "openvino", "float32", 10, tmp_path / "log", tmp_path / "done")

    def convert_and_look(task: conversion.Task) -> tuple[Converted, bool]:
        return conversion.convert(task), "openvino_telemetry.main" in sys.modules

    with in_new_process(convert_and_look, task) as future:
        _, reports_use = future.result()
    assert not reports_use, "OpenVINO's converter would report its use over the network"
    assert (tmp_path / "done").stat().st_size == 10
    pipeline = Pipeline.load(place, runtime="torch")
    network = conversion.Named(pipeline.learner.model, ("action_units",)).eval()
    compute = graph.open_graph(tmp_path / "graph", "openvino", "float32", 1)
    x = torch.cat(list(conversion.drawn_views(pipeline.spec, 10, 8)))
    with torch.inference_mode():
        expected = [each.numpy() for each in network(x)]
    assert expected[0].std(0).max() > 0.02
    for batch in (1, 2, 7, 7, 1):  # the second batch of a size is computed by a graph for that size
        for found, wanted in zip(compute(x[:batch].numpy()), expected, strict=True):
            np.testing.assert_allclose(found, wanted[:batch], rtol=0, atol=1e-5)


# --- how graph and network are compared -------------------------------------------------------------------------------
@pytest.mark.numeric
def test_a_graph_that_is_wrong_beyond_the_first_view_is_noticed(fitted, tmp_path):
    pipeline = Pipeline.load(fitted, runtime="torch")
    network = conversion.Named(pipeline.learner.model, ()).eval()

    def right(x: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [each.numpy() for each in network(torch.from_numpy(x))]

    def first_only(x: np.ndarray) -> list[np.ndarray]:
        return [np.repeat(each[:1], len(x), axis=0) for each in right(x)]

    def broken(x: np.ndarray) -> list[np.ndarray]:
        return [each * np.nan for each in right(x)]

    sizes: list[int] = []

    def wrong_where_a_size_repeats(x: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(x))
        return first_only(x) if sizes[-2:] == [7, 7] else right(x)

    least = sum(conversion.BATCHES)
    task = conversion.Task(fitted, tmp_path, "onnx", "float32", least, tmp_path / "log", tmp_path / "done")
    agree, wrong, repeated, nothing = (
        conversion.compare(network, each, pipeline.spec, task, 16)
        for each in (right, first_only, wrong_where_a_size_repeats, broken)
    )
    assert agree == (least, 0, 0, 1)
    assert min(wrong.probability, repeated.probability) > export.MAX_CHANGE["float32"]
    assert nothing.probability == float("inf")


def test_views_are_drawn_over_the_whole_range_and_alike_each_time(fitted):
    spec = Pipeline.load(fitted, runtime="torch").spec
    batches = list(conversion.drawn_views(spec, 50, 16))
    assert [len(batch) for batch in batches] == [1, 1, 2, 2, 7, 7, 16, 14]
    x = torch.cat(batches)
    assert torch.equal(x, torch.cat(list(conversion.drawn_views(spec, 50, 16))))
    assert (x.min(), x.max()) == (spec.low, spec.high)
    assert torch.equal(x, x.round())
    assert x.std((1, 2, 3, 4)).max() > 20
    fine = torch.cat(list(conversion.drawn_views(spec._replace(low=-1, high=1), 50, 16)))
    assert not torch.equal(fine, fine.round())


def gate(model: Path, monkeypatch: pytest.MonkeyPatch, found: Agreement, precision: str = "float32") -> None:
    """Export with an agreement that was not measured."""
    monkeypatch.setattr(export, "_converted", lambda task, progress: Converted(found, {}))
    monkeypatch.setattr(export, "native_bf16", lambda: True)
    export.export(model, to="openvino", precision=precision)


@pytest.mark.parametrize(
    ("precision", "found"),
    [
        ("float32", Agreement(1000, 0.1, 2e-4, 1.0)),
        ("float32", Agreement(1000, 0.1, float("inf"), 1.0)),
        ("bf16", Agreement(1000, 0.1, 0.011, 1.0)),
        ("bf16", Agreement(1000, 0.1, 0.009, 0.994)),
    ],
)
def test_a_graph_that_disagrees_is_never_written(model, monkeypatch, precision, found):
    before = everything(model)
    with refuses("E654", f"{found.same_class:.2%}", f"{found.probability:.2g}", precision, "float32"):
        gate(model, monkeypatch, found, precision)
    assert everything(model) == before


@pytest.mark.numeric
@pytest.mark.skipif(not native_bf16(), reason="this processor does not compute in bf16")
def test_bf16_is_exported_where_it_is_native_and_is_float32_elsewhere(model, small, monkeypatch):
    done = microexpr.export(model, to="openvino", precision="bf16")
    assert done.agreement.views == 1000
    assert 1e-6 < done.agreement.probability <= 0.01
    assert done.agreement.same_class >= 0.995
    rounded = microexpr.predict(model, small, workers=1).filter(like="p_").to_numpy()
    monkeypatch.setattr(pipelines, "native_bf16", lambda: False)
    exact = microexpr.predict(model, small, workers=1).filter(like="p_").to_numpy()
    expected = microexpr.predict(model, small, runtime="torch", workers=1).filter(like="p_").to_numpy()
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-5)
    assert np.abs(rounded - expected).max() > 1e-5


# --- failures leave nothing -------------------------------------------------------------------------------------------
def crash(task: conversion.Task) -> None:
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(task: conversion.Task) -> None:
    raise ValueError("no rule for this operation")


def time_out(task: conversion.Task) -> None:
    raise TimeoutError("the disk did not answer")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("convert", "named"),
    [(crash, "crashed"), (fail, "no rule for this operation"), (time_out, "the disk did not answer")],
)
def test_a_converter_that_fails_is_an_error_and_leaves_nothing(model, monkeypatch, convert, named):
    before = everything(model)
    monkeypatch.setattr(conversion, "convert", convert)
    with refuses("E655", named, model, "OpenVINO"):
        microexpr.export(model, to="openvino")
    assert everything(model) == before


def test_an_interrupted_export_leaves_the_earlier_one(model):
    before = everything(model)

    def interrupted() -> None:
        with exported.replacing_folder(model / "openvino") as new:
            (new / "model.xml").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert everything(model) == before


def test_another_export_takes_the_place_of_the_earlier_one(model):
    with exported.replacing_folder(model / "openvino") as new:
        (new / "model.xml").write_text("whole")
    assert [file.name for file in (model / "openvino").iterdir()] == ["model.xml"]
    assert not list(model.glob(".*"))


# --- which graph is used ----------------------------------------------------------------------------------------------
def test_auto_uses_a_graph_of_the_same_weights_only(model, monkeypatch):
    assert isinstance(microexpr.load(model).learner, ExportedNetwork)
    assert isinstance(microexpr.load(model, runtime="torch").learner, Network)
    with monkeypatch.context() as patched:
        patched.setattr(pipelines, "installed", lambda runtime: False)
        assert isinstance(microexpr.load(model).learner, Network)
    with monkeypatch.context() as patched:
        patched.setattr(pipelines, "device", lambda: torch.device("cuda"))
        assert isinstance(microexpr.load(model).learner, Network)
    edit(model / "openvino", weights="0" * 64)
    assert isinstance(microexpr.load(model).learner, Network)


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "float32")])
def test_a_named_runtime_exports_what_is_missing_or_of_other_weights(model, monkeypatch, native, precision):
    asked = []

    def note(place: Path, *, to: str, precision: str, progress: object) -> object:
        asked.append((place, to, precision))
        raise InterruptedError

    monkeypatch.setattr(export, "export", note)
    monkeypatch.setattr(pipelines, "native_bf16", lambda: native)
    assert isinstance(microexpr.load(model, runtime="openvino").learner, ExportedNetwork)
    assert asked == []
    edit(model / "openvino", weights="0" * 64, precision="bf16")
    for runtime in ("openvino", "onnx"):
        with pytest.raises(InterruptedError):
            microexpr.load(model, runtime=runtime)
    assert asked == [(model, "openvino", precision), (model, "onnx", "float32")]


def test_an_exported_network_only_predicts(fitted, tmp_path):
    pipeline = microexpr.load(fitted / "openvino")
    assert pipeline.learner.normalisation == microexpr.load(fitted, runtime="torch").learner.normalisation
    with refuses("E160", "torch"):
        pipeline.save(tmp_path / "model.safetensors")


# --- refused before it starts -----------------------------------------------------------------------------------------
def test_an_estimator_is_refused(small, tmp_path):
    microexpr.fit(recipe().with_values({"model": "pca_svm"}), small, tmp_path / "model", workers=1)
    for refused in (
        lambda: microexpr.export(tmp_path / "model", to="openvino"),
        lambda: microexpr.load(tmp_path / "model", runtime="onnx"),
    ):
        with refuses("E160", tmp_path / "model", "pca_svm"):
            refused()
    assert microexpr.load(tmp_path / "model").learner.model is not None


def test_an_exported_model_is_refused(model):
    with refuses("E160", model / "openvino", "exported already", "name the model"):
        microexpr.export(model / "openvino", to="onnx")


def test_a_model_that_a_runtime_computes_otherwise_is_refused(tmp_path):
    place = stored("entropy_vit", tmp_path / "model")
    with refuses("E160", "entropy_vit", "OpenVINO", "bins"):
        microexpr.export(place, to="openvino")


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ({"to": "onnx", "precision": "bf16"}, "E162", ["ONNX Runtime", "openvino"]),
        ({"to": "openvino", "precision": "bf16"}, "E162", ["AVX512-BF16", "float32"]),
        ({"to": "openvino", "views": 19}, "E162", ["19", "20"]),
        ({"to": "tensorrt"}, "E112", ["tensorrt", "openvino, onnx"]),
        ({"to": "onnx", "precision": "int8"}, "E112", ["int8", "float32, bf16"]),
    ],
)
def test_what_is_not_possible_is_said_first(options, code, named, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "native_bf16", lambda: False)
    with refuses(code, *named):
        microexpr.export(tmp_path / "not read", **options)


def test_bf16_needs_a_thousand_views(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "native_bf16", lambda: True)
    with refuses("E162", "999", "1000"):
        microexpr.export(tmp_path / "not read", to="openvino", precision="bf16", views=999)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_a_runtime_that_is_not_installed_is_named_with_its_extra(runtime, model, monkeypatch):
    monkeypatch.setattr(graph.importlib.util, "find_spec", lambda name: None)
    for refused in (
        lambda: microexpr.export(model, to=runtime),
        lambda: microexpr.load(model, runtime=runtime),
    ):
        with refuses("E161", "pip install 'microexpr[export]'", runtime):
            refused()
    with refuses("E161", "pip install 'microexpr[export]'", "openvino"):
        microexpr.load(model / "openvino")


def test_other_files_are_not_replaced(model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with refuses("E657", tmp_path / "mine"):
        microexpr.export(model, to="openvino", out=tmp_path / "mine")
    assert everything(tmp_path / "mine") == {"notes.txt": b"mine"}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


def unreadable(folder: Path) -> None:
    """Leave files that are as the card says, but that the runtime cannot open."""
    (folder / "model.xml").write_text("<net>")
    edit(folder, files={name: exported.file_sha256(folder / name) for name in ("model.xml", "model.bin")})


DAMAGE = pytest.mark.parametrize(
    ("damage", "code", "named"),
    [
        (lambda folder: cut(folder / "model.bin"), "E656", ["model.bin", "damaged"]),
        (lambda folder: (folder / "model.xml").unlink(), "E656", ["model.xml", "missing"]),
        (lambda folder: (folder / "card.json").unlink(), "E656", ["card.json"]),
        (lambda folder: cut(folder / "card.json"), "E656", ["card.json"]),
        (lambda folder: edit(folder, format=2), "E602", ["newer", "2"]),
        (lambda folder: edit(folder, format="one"), "E656", ["card.json"]),
        (lambda folder: edit(folder, runtime="tensorrt"), "E656", ["card.json"]),
        (unreadable, "E656", ["model.xml", "OpenVINO"]),
    ],
)


@DAMAGE
def test_a_damaged_folder_is_refused(model, damage, code, named):
    damage(model / "openvino")
    for runtime in ("auto", "openvino"):
        with refuses(code, model / "openvino", *named):
            microexpr.load(model / "openvino", runtime=runtime)


@DAMAGE
def test_a_damaged_graph_does_not_stop_a_sound_model(model, damage, code, named):
    damage(model / "openvino")
    assert isinstance(microexpr.load(model).learner, Network)
    with refuses(code, model / "openvino", *named):
        microexpr.load(model, runtime="openvino")


@pytest.mark.parametrize("step", ["preprocessing", "sampling", "representation"])
def test_a_card_without_a_step_is_refused(model, step):
    card = json.loads((model / "openvino" / "card.json").read_text("utf-8"))
    del card["experiment"][step]
    (model / "openvino" / "card.json").write_text(json.dumps(card), "utf-8")
    with refuses("E605", step, model / "openvino"):
        microexpr.load(model / "openvino")


def test_a_graph_is_not_computed_by_another_runtime(model):
    for runtime in ("torch", "onnx"):
        with refuses("E161", model / "openvino", runtime):
            microexpr.load(model / "openvino", runtime=runtime)
    with refuses("E112", "tensorrt", "auto, torch, openvino, onnx"):
        microexpr.load(model, runtime="tensorrt")


def test_without_its_lineage_a_folder_says_so(model, small):
    (model / "openvino" / "lineage.json").unlink()
    found = microexpr.predict(model / "openvino", small, workers=1)
    assert set(found["notes"]) == {pipelines.UNRECORDED}
