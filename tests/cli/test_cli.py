"""The command: what it prints and where, its exit codes, and what is left when it is interrupted."""

from __future__ import annotations

import gc
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from conftest import recipe, write_database
from microexpr import __version__, run_experiment
from microexpr.config.experiment import Experiment
from microexpr.config.study import load
from microexpr.core.error_codes import CODES
from microexpr.learning import training
from shell import Answer, microexpr

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
TAG = "poolformer_m36.sail_in1k"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three subjects with three clips each."""
    return write_database(tmp_path_factory.mktemp("small"), subjects=3, clips=3)


@pytest.fixture
def file(tmp_path):
    """A recipe that takes a moment."""
    path = tmp_path / "recipe.toml"
    path.write_text(recipe().with_values({"model": "majority"}).to_toml(), "utf-8")
    return path


STUDY = """
name = "small"
title = "Small"
[experiment]
datasets = "manifest"
labels = "as_given"
preprocessing = { name = "m1", size = 32 }
protocol = "loso"
[grid]
sampling = ["af", "kfs"]
model = ["majority"]
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY, "utf-8")
    return path


def run(file: Path, data: Path, out: Path, *options: object) -> Answer:
    return microexpr("run", file, "--data", data, "--out", out, *options)


# --- starting ---------------------------------------------------------------------------------------------------------
COMMAND = [sys.executable, "-m", "microexpr"]


def test_help_is_quick_and_loads_nothing_heavy():
    listed = "import sys; sys.argv = ['microexpr', '--help']\n"
    listed += "import microexpr.cli as cli\ntry: cli.main()\nexcept SystemExit: pass\n"
    listed += "sys.stderr.write(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "study" in done.stdout
    assert not loaded & {"torch", "pandas", "numpy", "timm", "cv2", "sklearn", "pydantic", "matplotlib", "dlib"}
    assert min(seconds(*COMMAND, "--help") for _ in range(3)) < 0.4


def seconds(*words: str) -> float:
    """Processor time of a process, which others on the same machine lengthen less than they do its wall time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "words", [[], ["run"], ["study"], ["fit"], ["data"], ["data", "make"], ["weights"], ["weights", "fetch"]]
)
def test_every_command_explains_itself(words):
    answer = microexpr(*words, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: {' '.join(['microexpr', *words])} ")


def test_without_a_command_the_help_is_shown():
    assert "Usage: microexpr" in "".join(microexpr()[1:])


def test_version():
    assert microexpr("--version") == Answer(0, f"{__version__}\n", "")


# --- run --------------------------------------------------------------------------------------------------------------
def test_json_is_all_that_stands_on_the_output(file, small, tmp_path):
    answer = run(file, small, tmp_path / "out", "--json")
    cell = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert {"preprocessing", "sampling", "model", "macro_f1", "ci_low", "ci_high", "scores", "n_test"} <= set(cell)
    assert {"macro_f1", "uf1", "uar", "accuracy"} <= set(cell["scores"])
    assert cell["n_test"] == 9
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["cells"][0]["macro_f1"] == cell["macro_f1"]
    assert summary["run"] == cell["run"]
    assert cell["run"] == {"trained": 3, "reused": 0, "unknown": [], "trials_tried": None, "trials_reused": None}
    assert summary["command"] == f"microexpr run {file} --data {small} --out {tmp_path / 'out'} --json"


def test_quiet_prints_the_result_alone(file, small, tmp_path):
    answer = run(file, small, tmp_path / "out", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    header, values, *said, work, report = answer.out.splitlines()
    assert header.split()[:3] == ["preprocessing", "sampling", "model"]
    assert values.split()[-1] == "9"
    assert "macro-F1" in " ".join(said)
    assert work == "folds: trained 3, reused 0"
    assert report == f"report: {tmp_path / 'out/report.html'}"
    assert run(file, small, tmp_path / "out", "--quiet").out.splitlines()[-2] == "folds: trained 0, reused 3"
    assert (tmp_path / "out/report.html").is_file()


def test_progress_is_plain_lines_where_there_is_no_terminal(file, small, tmp_path):
    answer = run(file, small, tmp_path / "out")
    assert "frames 9/9, 0 s left\n" in answer.err
    assert "\x1b" not in answer.err + answer.out
    assert "\r" not in answer.err
    # A second run has nothing to read and nothing to train.
    assert "frames" not in run(file, small, tmp_path / "out").err


def test_settings_change_single_values(file, small, tmp_path):
    options = ["--set", "sampling=kfs", "--set", "preprocessing.size=24", "--set", 'model={name="class_frequency"}']
    cell = json.loads(run(file, small, tmp_path / "out", *options, "--json").out)
    assert (cell["sampling"], cell["preprocessing"], cell["model"]) == ("kfs", "m1(size=24)", "class_frequency")
    assert load(Experiment, file).sampling.name == "af"


def test_weights_of_folds_are_kept_on_request(file, small, tmp_path):
    options = ["--set", "model=pca_svm", "--quiet"]
    run(file, small, tmp_path / "a", *options)
    assert not list((tmp_path / "a").rglob("*.safetensors"))
    run(file, small, tmp_path / "b", *options, "--keep-weights")
    assert len(list((tmp_path / "b").rglob("*.safetensors"))) == 3


def test_several_databases_are_named(file, small, tmp_path):
    assert run(file, f"manifest={small}", tmp_path / "out", "--quiet").code == 0  # type: ignore[arg-type]


# --- study ------------------------------------------------------------------------------------------------------------
def test_dry_run_lists_every_cell_and_writes_nothing(study, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    answer = microexpr("study", study, "--data", small, "--dry-run")
    metadata, _, listed = answer.out.partition("part ")
    lines = f"part {listed}".splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert "table: manifest.csv" in metadata
    assert lines[0].split() == [
        *("part", "preprocessing", "sampling", "model", "protocol"),
        *("train", "val", "test", "size", "weights"),
    ]
    assert [line.split()[2:4] for line in lines[1:3]] == [["af", "majority"], ["kfs", "majority"]]
    assert lines[-1] == "2 experiments; nothing was trained."
    rows = json.loads(microexpr("study", study, "--data", small, "--dry-run", "--json").out)["cells"]
    assert [row["views"] for row in rows] == [9, 27]
    assert [row["folds"] for row in rows] == [3, 3]
    assert sorted(tmp_path.iterdir()) == before


def test_a_study_prints_its_table_or_its_summary(study, small, tmp_path):
    words = ["study", study, "--data", small, "--out", tmp_path / "out", "--quiet"]
    table = microexpr(*words).out.splitlines()
    assert [line.split()[1] for line in table if line.startswith("m1(")] == ["af", "kfs"]
    summary = json.loads(microexpr(*words, "--json").out)
    assert [cell["sampling"] for cell in summary["cells"]] == ["af", "kfs"]
    assert summary["command"].startswith("microexpr study ")


def test_settings_reach_into_a_study(study, small):
    setting = 'grid.sampling=["mfs"]'
    rows = json.loads(
        microexpr("study", study, "--data", small, "--dry-run", "--json", "--set", setting).out,
    )["cells"]
    assert [row["sampling"] for row in rows] == ["mfs"]


# --- fit, data --------------------------------------------------------------------------------------------------------
def test_fit_says_where_model_and_card_are(file, small, tmp_path):
    answer = microexpr("fit", file, "--data", small, "--out", tmp_path / "out", "--quiet")
    paths = f"model: {tmp_path / 'out/model.safetensors'}\ncard:  {tmp_path / 'out/card.json'}\n"
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{paths}  ! a model trained on licensed faces may be bound by their licence")
    assert json.loads((tmp_path / "out/card.json").read_text())["data"]["clips"] == 9


def test_make_synthetic(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    words = ["data", "make", "synthetic", "--out", tmp_path / "made", "--subjects", 1, "--clips", 1, "--seed", 3]
    answer = microexpr(*words, "--emotions", "disgust, fear", "--folders", "cropped", "--expression-size", 2)
    assert (answer.code, answer.out) == (0, f"made: {tmp_path / 'made'} (1 clips, 1 subjects, synthetic)\n")
    assert "clips 1/1" in answer.err
    spec = json.loads((tmp_path / "made/microexpr-synthetic.json").read_text())["spec"]
    assert (spec["seed"], spec["emotions"], spec["expression_size"]) == (3, ["disgust", "fear"], 2.0)
    assert [path.name for path in (tmp_path / "made").iterdir() if path.is_dir()] == ["Cropped"]


# --- weights ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with one good file, and a hub that does not answer."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(folder))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    folder.mkdir()
    from microexpr.core import pretrained

    path = folder / f"{TAG}.safetensors"
    save_file({"stem.conv.bias": torch.ones(3)}, path)
    entry = {"hub": f"timm/{TAG}", "size": path.stat().st_size, "sha256": pretrained.sha256(path), "source": "a test"}
    (folder / "weights.json").write_text(json.dumps({TAG: entry}))
    return folder


def test_weights_travel_in_a_bundle(cache, tmp_path, monkeypatch):
    assert microexpr("weights", "verify") == Answer(0, f"good     {TAG}\n", "")
    bundle = tmp_path / "bundle.tar"
    assert microexpr("weights", "bundle", bundle, "poolformer_m36") == Answer(0, f"bundle: {bundle}\n", "")
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "elsewhere"))
    assert microexpr("weights", "verify") == Answer(0, f"no weights in {tmp_path / 'elsewhere'}\n", "")
    assert microexpr("weights", "unbundle", bundle) == Answer(0, f"available: {TAG}\n", "")
    assert microexpr("weights", "verify").code == 0
    weights = tmp_path / "elsewhere" / f"{TAG}.safetensors"
    assert microexpr("weights", "fetch", TAG, "--quiet").out == f"available: {weights}\n"


def test_damaged_weights_are_reported_with_exit_1(cache):
    (cache / f"{TAG}.safetensors").write_bytes(b"short")
    answer = microexpr("weights", "verify")
    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith("5 bytes instead of")
    (cache / "weights.json").write_text("{")
    answer = microexpr("weights", "verify")
    assert answer.code == 1
    assert "weights.json" in answer.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["fetch", "vit_b32"], ["http://127.0.0.1:9", "bundle"]),
        (["fetch", "vit_b23"], ["'vit_b23'", "vit_b32"]),
        (["fetch", "vit_nano"], ["vit_nano"]),
        (["fetch", "../x.y"], ["../x.y"]),
        (["bundle", "x.tar", "vit_b32"], ["vit_base_patch32", "weights fetch"]),
        (["bundle", "x.tar", "pca_svm"], ["pca_svm"]),
        (["bundle", "in/the/way/x.tar", TAG], ["x.tar"]),
        (["unbundle", "none.tar"], ["none.tar", "No such file"]),
        (["unbundle", "in"], ["in "]),
    ],
)
def test_unavailable_weights_give_one_message(cache, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text("no bundle, and no folder")
    answer = microexpr("weights", *words)
    assert (answer.code, answer.out) == (1, "")
    code = re.match(r"microexpr: (E\d+): ", answer.err)
    assert code is not None
    assert code[1] in CODES
    assert answer.err.count("\n") == 1
    assert all(word in answer.err for word in named), answer.err
    assert not list(tmp_path.glob("*.tar"))


# --- errors -----------------------------------------------------------------------------------------------------------
def test_an_error_is_a_sentence_and_with_debug_a_traceback(small, tmp_path):
    words = ["run", tmp_path / "none.toml", "--data", small, "--out", tmp_path / "out"]
    answer = microexpr(*words)
    assert (answer.code, answer.out) == (1, "")
    assert re.match(r"microexpr: E\d+: ", answer.err)
    assert str(words[1]) in answer.err
    from microexpr.core.errors import ConfigError

    with pytest.raises(ConfigError):
        microexpr(*words, "--debug")
    done = subprocess.run([*COMMAND, "--debug", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ConfigError: " in done.stderr
    assert str(words[1]) in done.stderr


def interrupted(words: list[object], folder: Path, pattern: str) -> str:
    """Run on a terminal, press Ctrl-C as soon as a file of this pattern is there, and return what the screen got."""
    screen, end = pty.openpty()
    # A session of its own, as a terminal's foreground job: Ctrl-C reaches the command and all of its processes.
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=end,
        start_new_session=True,
        # A suite started in the background has Ctrl-C ignored, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(end)
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(iter(lambda: read(screen), b"")))
    reader.start()
    until = time.monotonic() + 100
    while not list(folder.rglob(pattern)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    reader.join()
    os.close(screen)
    assert (process.returncode, out) == (130, b"")
    return b"".join(shown).decode()


def read(screen: int) -> bytes:
    try:
        return os.read(screen, 1 << 16)
    except OSError:  # how Linux reports that the other end is closed
        return b""


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    data, file = write_database(tmp_path / "data", subjects=4, clips=3), tmp_path / "recipe.toml"
    file.write_text(recipe().with_values({"training.epochs": 20}).to_toml(), "utf-8")
    words = ["run", file, "--data", data, "--out", tmp_path / "out"]
    screen = interrupted(words, tmp_path / "out", "fold-*.views.parquet")
    assert screen.endswith("microexpr: interrupted; the same command continues where it stopped.\r\n")
    assert "Traceback" not in screen
    # The bars were nested, and the cursor that they hid is back.
    assert all(text in screen for text in ("folds", "  cross_entropy"))
    assert screen.rindex(SHOWN) > screen.rindex(HIDDEN)
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [name for name in left if "partial" in name or name in ("summary.json", "report.html")]
    finished = sorted((tmp_path / "out").rglob("fold-*.views.parquet"))
    assert 1 <= len(finished) < 4
    before = {path: path.stat().st_mtime_ns for path in finished}
    again = json.loads(microexpr(*words, "--json").out)
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    whole = json.loads(run(file, data, tmp_path / "whole", "--json").out)
    counts = {"trained": 4 - len(finished), "reused": len(finished), "unknown": []}
    assert again["run"] == counts | {"trials_tried": None, "trials_reused": None}
    own = {"seconds": 0, "latency": 0, "run": {}}
    assert again | own == whole | own
    folds = [sorted((tmp_path / name).rglob("fold-*.parquet")) for name in ("out", "whole")]
    assert len(folds[0]) == len(folds[1]) == 8
    for mine, other in zip(*folds, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(mine), pd.read_parquet(other), check_exact=True)


class Counted:
    """Progress that counts the bars that are open."""

    def __init__(self) -> None:
        self.opened = self.open = 0

    def start(self, text: str, total: int) -> None:
        self.opened += 1
        self.open += 1

    def step(self, note: str = "") -> None:
        assert self.open > 0

    def stop(self) -> None:
        self.open -= 1


def test_every_bar_is_closed_by_whatever_ends_a_training(small, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.TrainingRun, "train_epoch", interrupt)
    bars = Counted()
    try:
        run_experiment(recipe(), small, tmp_path / "out", progress=bars)
    except KeyboardInterrupt:
        pass
    else:
        pytest.fail("it was not interrupted")
    gc.collect()  # what iterates over a bar ends with its frame
    assert (bars.opened, bars.open) == (3, 0)


def test_interrupted_drawing_leaves_no_database_that_looks_whole(tmp_path):
    words = ["data", "make", "synthetic", "--subjects", 2, "--clips", 4, "--out"]
    screen = interrupted([*words, tmp_path / "made"], tmp_path / "made", "*.jpg")
    assert "interrupted; the same command continues" in screen
    assert "Traceback" not in screen
    assert screen.rindex(SHOWN) > screen.rindex(HIDDEN)
    assert not (tmp_path / "made/CASME2-coding-20140508.xlsx").exists()
