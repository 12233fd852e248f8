"""`microexpr export`, `microexpr predict --runtime`, and the example that needs neither microexpr nor torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import microexpr as package
from conftest import recipe, write_database
from shell import Answer, microexpr

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("one_thread")]
EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_exported.py"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return write_database(tmp_path_factory.mktemp("small"), subjects=3, clips=3)


@pytest.fixture(scope="module")
def fitted(small, tmp_path_factory) -> Path:
    """A model of the apex frame in grey."""
    out = tmp_path_factory.mktemp("fitted") / "model"
    values = {"preprocessing": {"name": "m1", "size": 24, "colour": "grey"}, "training.epochs": 8}
    package.fit(recipe().with_values(values), small, out, workers=1)
    return out


@pytest.fixture(scope="module")
def onnx(fitted, tmp_path_factory) -> tuple[Path, Answer]:
    """The exported folder, and what the command printed."""
    out = tmp_path_factory.mktemp("exported") / "graph"
    return out, microexpr("export", fitted, "--to", "onnx", "--views", 64, "--out", out)


def test_the_command_prints_place_agreement_and_caveat(onnx):
    folder, answer = onnx
    assert answer.code == 0, answer.err
    assert answer.out.startswith(f"graph: {folder} (onnx, float32)\n")
    found = re.search(
        r"On 64 random views, .* same class for 100\.00%; .* probability is (\S+), of a logit (\S+)\.\n", answer.out
    )
    assert found, answer.out
    card = json.loads((folder / "card.json").read_text("utf-8"))
    measured = card["exported"]["agreement"]
    assert [float(found[1]), float(found[2])] == pytest.approx(
        [measured["largest change of a probability"], measured["largest change of a logit"]], rel=0.06
    )
    assert " ".join(card["licence"]["caveat"].split()) in " ".join((answer.out + answer.err).split())
    assert "views compared" in answer.err


def test_the_folder_is_a_model_and_runtime_a_choice(onnx, fitted, small):
    expected = microexpr("predict", fitted, small, "--runtime", "torch", "--json", "--workers", 1)
    found = microexpr("predict", onnx[0], small, "--json", "--workers", 1)
    assert (expected.code, found.code) == (0, 0), found.err
    rows, wanted = json.loads(found.out), json.loads(expected.out)
    for row, other in zip(rows, wanted, strict=True):
        assert {name: row[name] for name in ("key", "label", "notes")} == {
            name: other[name] for name in ("key", "label", "notes")
        }
        assert row["p_disgust"] == pytest.approx(other["p_disgust"], abs=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["export", "{none}"], "E606", ["none"]),
        (["export", "{model}", "--to", "onnx", "--precision", "bf16"], "E162", ["bf16"]),
        (["export", "{model}", "--views", "3"], "E162", ["3"]),
        (["predict", "{graph}", "{data}", "--runtime", "torch"], "E161", ["onnx", "torch"]),
    ],
)
def test_one_error_and_nothing_written(words, code, named, onnx, fitted, small, tmp_path):
    places = {"none": tmp_path / "none", "model": fitted, "graph": onnx[0], "data": small}
    before = {file for place in (fitted, tmp_path) for file in place.rglob("*")}
    answer = microexpr(*(word.format(**places) for word in words), "--quiet")
    assert answer.code in (1, 2)
    assert (answer.out, answer.err.startswith(f"microexpr: {code}: ")) == ("", True), answer.err
    assert all(word in answer.err for word in named)
    assert {file for place in (fitted, tmp_path) for file in place.rglob("*")} == before


def test_json_is_all_that_is_printed(fitted, monkeypatch):
    from microexpr.learning import export
    from microexpr.learning.conversion import Agreement, Converted

    def convert(task, progress):
        (task.folder / "model.onnx").write_bytes(b"graph")
        return Converted(Agreement(1000, 1e-6, 1e-7, 1.0), {"onnx": "1"})

    monkeypatch.setattr(export, "_converted", convert)
    answer = microexpr("export", fitted, "--to", "onnx", "--json")
    assert (answer.code, answer.err) == (0, "")
    printed = json.loads(answer.out)
    card = json.loads((fitted / "onnx" / "card.json").read_text("utf-8"))
    assert printed == {"folder": str(fitted / "onnx"), **card["exported"]}


WITHOUT = """
import runpy, sys
sys.modules["torch"] = sys.modules["microexpr"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def example_gives_the_same(folder: Path, model: Path, data: Path) -> None:
    expected = package.predict(model, data, runtime="torch", workers=1)
    assert expected["label"].nunique() > 1
    for row in expected.to_dict("records")[::3]:
        clip = data.joinpath(*row["key"].split("/")[1:3])
        words = [sys.executable, "-c", WITHOUT, EXAMPLE, folder, clip / "4.png"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        printed = dict(line.split() for line in done.stdout.splitlines()[:3])
        assert next(iter(printed)) == row["label"]
        for name, share in printed.items():
            assert float(share) == pytest.approx(row[f"p_{name}"], abs=1e-5)


def test_the_example_predicts_the_same_with_the_runtime_alone(onnx, fitted, small):
    example_gives_the_same(onnx[0], fitted, small)


@pytest.mark.slow
def test_so_it_does_with_openvino(fitted, small, tmp_path):
    package.export(fitted, to="openvino", out=tmp_path / "graph")
    example_gives_the_same(tmp_path / "graph", fitted, small)


OPENVINO = """
import types
class Core:
    def get_property(self, device, name):
        return CAPABILITIES
    def compile_model(self, file, device, hints):
        print(hints["INFERENCE_PRECISION_HINT"])
        return lambda inputs: {"logits": inputs[0].reshape(1, -1)[:, :3]}
sys.modules["openvino"] = types.SimpleNamespace(Core=Core)
"""


@pytest.mark.parametrize(
    ("precision", "capabilities", "hint"),
    [("bf16", ["FP32", "BF16"], "bf16"), ("bf16", ["FP32"], "f32"), ("float32", ["FP32", "BF16"], "f32")],
)
def test_the_example_never_emulates_bf16(precision, capabilities, hint, onnx, small, tmp_path):
    """With an older card, too, which has no licence."""
    card = json.loads((onnx[0] / "card.json").read_text("utf-8"))
    card["exported"] |= {"runtime": "openvino", "precision": precision}
    del card["licence"]
    (tmp_path / "card.json").write_text(json.dumps(card), "utf-8")
    script = WITHOUT.replace("sys.argv =", f"CAPABILITIES = {capabilities}\n{OPENVINO}sys.argv =")
    words = [sys.executable, "-c", script, EXAMPLE, tmp_path, small / "s0" / "c0" / "4.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == hint


def test_the_example_says_what_it_needs(onnx, small):
    frame = str(small / "s0" / "c0" / "4.png")
    for words, text in (
        ([], "MODEL FRAME"),
        ([str(onnx[0]), frame, frame], "takes 1 frame"),
        ([str(onnx[0]), "nowhere.png"], "nowhere.png is missing"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, EXAMPLE, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert text in done.stderr
        assert "Traceback" not in done.stderr
