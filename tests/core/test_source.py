"""Components from outside the package: whatever they compute with is part of every key and of every cache."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys

import pytest

import microexpr
from conftest import DRAWING, TESTS, recipe, write_database
from microexpr.core import source as _source
from microexpr.core.files import digest
from microexpr.core.interfaces import REGISTRIES
from microexpr.core.parallel import begin_run
from microexpr.core.registry import Registry
from microexpr.core.source import source
from microexpr.report.summary import Run
from microexpr.runs.plan import Options, Workspace, preprocessing_id
from shell import microexpr as command

pytestmark = pytest.mark.usefixtures("no_figures")

NET = '''"""A network of the user's own."""

from dataclasses import dataclass

from torch import nn

import layers
from microexpr.core.interfaces import models
from microexpr.core.types import Output


class Body(nn.Module):
    """A convolution, and a head."""

    def __init__(self, view, classes):
        super().__init__()
        self.conv = nn.Conv2d(view.shape[3], 4, 3)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        # the mean of what the convolution finds
        return Output(layers.scaled(self.head(self.conv(x[:, 0]).relu().mean((2, 3)))) * 1, {})


@models.register("mine")
@dataclass(frozen=True)
class Mine:
    label = mixing = "mine"
    trains_in_epochs = True

    def check(self, view):
        return {"weights": "none"}

    def __call__(self, view, num_classes, aux):
        return Body(view, num_classes)
'''
LAYERS = "def scaled(x):\n    return x * 2\n"


@pytest.fixture(autouse=True)
def _registries(monkeypatch):
    """Nothing that a test registers stays, nor what it imports."""
    registered = {folder: set(registry._sources) for folder, registry in REGISTRIES.items()}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files of one size change within a second here
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in OWN:
            del sys.modules[name]
    for folder, registry in REGISTRIES.items():
        for name in set(registry._sources) - registered[folder]:
            for known in (registry._factories, registry._revisions, registry._sources, registry._outside):
                known.pop(name, None)
        registry.begin_run()


OWN = {"net", "layers", "helper", "further", "pack", "shown"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of the user's own, from which modules are imported."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def write(folder, files):
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def load(name):
    """Import a module as a new process would."""
    for each in [each for each in sys.modules if each.partition(".")[0] in OWN]:
        del sys.modules[each]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def change(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1, text
    file.write_text(text.replace(old, new))


# --- modules ----------------------------------------------------------------------------------------------------------
FILES = {
    "net.py": '"""A net."""\nimport helper\nfrom pack.deep import level\n\n\nclass Net:\n    """What it is."""\n\n'
    "    def __call__(self, x):  # all of it\n        return helper.double(x) + level.LEVEL\n",
    "helper.py": 'import further\n\n\ndef double(x):\n    """Twice."""\n    return further.TWO * x\n',
    "further.py": "TWO = 2\n",
    "pack/__init__.py": "",
    "pack/inner.py": "INNER = 1\n",
    "pack/deep/__init__.py": "from . import beside\n",
    "pack/deep/beside.py": "BESIDE = 1\n",
    "pack/deep/level.py": "from ..inner import INNER\nLEVEL = INNER\n",
    "aside.py": "ASIDE = 1\n",
}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("net.py", " + level", " - level"),
        ("helper.py", "TWO * x", "TWO + x"),
        ("further.py", "2", "3"),
        ("pack/__init__.py", "", "import torch\n"),
        ("pack/inner.py", "1", "2"),
        ("pack/deep/__init__.py", "beside\n", "beside, level\n"),
        ("pack/deep/beside.py", "1", "2"),
        ("pack/deep/level.py", "= INNER", "= -INNER"),
    ],
)
def test_code_that_a_component_rests_on_counts(project, file, old, new):
    write(project, FILES)
    before = source(load("net").Net, "net", "net")
    assert source(load("net").Net, "net", "net") == before
    (project / file).write_text((project / file).read_text().replace(old, new))
    assert source(load("net").Net, "net", "net") != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("net.py", "# all of it", "# everything"),
        ("net.py", "What it is.", "What it was."),
        ("net.py", "(x) + level.LEVEL", "(x) + (\n            level.LEVEL\n        )"),
        ("helper.py", '    """Twice."""\n', ""),
        ("aside.py", "1", "2"),
    ],
)
def test_comments_docstrings_layout_and_what_is_not_imported_do_not_count(project, file, old, new):
    write(project, FILES)
    before = source(load("net").Net, "net", "net")
    change(project / file, old, new)
    assert source(load("net").Net, "net", "net") == before


def test_a_project_gives_the_same_digest_wherever_it_lies(project, tmp_path, monkeypatch):
    write(project, FILES)
    before = source(load("net").Net, "net", "net")
    monkeypatch.syspath_prepend(tmp_path / "moved")
    write(tmp_path / "moved", FILES)
    assert load("net").__file__ == str(tmp_path / "moved/net.py")
    assert source(sys.modules["net"].Net, "net", "net") == before


def test_helpers_that_trade_places_count(project):
    write(
        project, {"net.py": "import helper, further\nclass Net: ...\n", "helper.py": "A = 1\n", "further.py": "A = 2\n"}
    )
    before = source(load("net").Net, "net", "net")
    write(project, {"helper.py": "A = 2\n", "further.py": "A = 1\n"})
    assert source(load("net").Net, "net", "net") != before


def test_which_class_of_a_module_is_registered_counts(project):
    write(project, {"net.py": "class A:\n    f = 1\nclass B:\n    f = 2\n"})
    net = load("net")
    assert source(net.A, "net", "net") != source(net.B, "net", "net")


@pytest.mark.parametrize("place", ["<stdin>", "<python-input-3>", "<ipython-input-1-ab>", "/tmp/ipykernel_1/2.py"])
def test_what_is_typed_in_has_no_source_although_its_module_has(project, place):
    write(project, {"net.py": "class Net:\n    def f(self): return 1\n"})
    net = load("net")
    exec(compile("class Net:\n    def f(self): return 2\n", place, "exec"), vars(net))
    assert source(net.Net, "net", "net") is None


def test_an_import_that_leads_out_of_its_package_is_no_source_and_no_traceback(project):
    write(
        project, {"pack/__init__.py": "", "pack/net.py": "class Net: ...\ndef later():\n    from ... import outside\n"}
    )
    assert source(load("pack.net").Net, "net", "pack.net") is None


# --- scripts ----------------------------------------------------------------------------------------------------------
SCRIPT = '''"""A study and its component in one file."""
import sys

import helper
from microexpr.core.registry import Registry

things = Registry("thing", "no such folder", "microexpr.things")
WIDTH = 4
LAYERS = [1]
LAYERS.append(2)
if sys.platform:
    SCALE = 1
else:
    SCALE = 2
EPOCHS = 3


def build(width):
    return [width, *LAYERS]


@things.register("net")
class Net:
    """What it is."""

    def __call__(self, x):
        out = build(WIDTH)  # as wide as that
        return helper.double(x) * SCALE, out


def main():
    return EPOCHS, things.revision("net")


out = main()
found = str(things.revision("net"))
'''


def ran(project):
    write(project, {name: text for name, text in FILES.items() if not (project / name).exists()})
    for each in [each for each in sys.modules if each.partition(".")[0] in OWN]:
        del sys.modules[each]
    return runpy.run_path(str(project / "script.py"), run_name="__main__")["found"]


@pytest.mark.parametrize(
    ("file", "old", "new", "moves"),
    [
        ("script.py", "return helper", "return -helper", True),
        ("script.py", "WIDTH = 4", "WIDTH = 5", True),
        ("script.py", "[width, *LAYERS]", "[*LAYERS, width]", True),
        ("script.py", "LAYERS.append(2)", "LAYERS.append(3)", True),
        ("script.py", "SCALE = 2", "SCALE = 3", True),
        ("script.py", "if sys.platform:", "if not sys.platform:", True),
        ("helper.py", "TWO * x", "TWO + x", True),
        ("further.py", "2", "3", True),
        ("script.py", "EPOCHS = 3", "EPOCHS = 4", False),
        ("script.py", "out = main()", "out = main(), 1", False),
        ("script.py", "return EPOCHS, ", "print()\n    return ", False),
        ("script.py", "# as wide as that", "# so wide", False),
        ("script.py", "What it is.", "What it was.", False),
        ("script.py", "import sys\n", "import json\nimport sys\n", False),
    ],
)
def test_of_a_script_the_component_and_what_it_refers_to_count(project, file, old, new, moves):
    write(project, {"script.py": SCRIPT, **FILES})
    before = ran(project)
    assert before.startswith("1+")
    assert ran(project) == before
    change(project / file, old, new)
    assert (ran(project) != before) is moves


@pytest.mark.parametrize(
    ("registered", "old", "new"),
    [
        ("helper.make(3)", "3", "4"),  # a closure
        ("helper.Made(3)", "3", "4"),  # an object
        ("functools.partial(helper.double, 3)", "3", "4"),
        ("functools.partial(helper.double, own)", "0.5", "0.6"),  # an object without a fixed repr
        ("wrapped(helper.double)", "0.5", "0.6"),
        ("helper.made_of(SET)", "fill(SET, 7)", "fill(SET, 8)"),  # changed by a call that is given it
        ("helper.made_of(K)", "K = 9", "K = 10"),  # changed by a function
    ],
)
def test_what_a_script_makes_of_functions_of_others_counts(project, registered, old, new):
    helper = (
        "def double(x): ...\ndef make(x):\n    def made(): return x\n    return made\nmade_of = make\n"
        "class Made:\n    def __init__(self, x): self.x = x\n    def __call__(self): return self.x\n"
        "def fill(into, value): into['a'] = value\n"
    )
    script = f"""
import functools
import helper
from helper import fill
from microexpr.core.registry import Registry
things = Registry('thing', 'no such folder', 'microexpr.things')
SET = {{}}
fill(SET, 7)
def setup():
    global K
    K = 9
setup()
def own(x):
    return x * 0.5
def wrapped(f):
    @functools.wraps(f)
    def inner(*words):
        return own(f(*words))
    return inner
things.register('net')({registered})
found = str(things.revision('net'))
"""
    write(project, {"script.py": script, "helper.py": helper})
    before = ran(project)
    assert "unknown" not in before
    assert ran(project) == before
    change(project / "script.py", old, new)
    assert ran(project) != before


# --- revisions --------------------------------------------------------------------------------------------------------
@pytest.fixture
def things():
    return Registry("thing", "no such folder", "microexpr.things")


def test_components_of_the_package_keep_their_revision():
    for folder, registry in REGISTRIES.items():
        for name in registry.names():
            assert registry.revision(name) == registry._revisions.get(name, 1), (folder, name)
            assert isinstance(registry.revision(name), int), (folder, name)


def test_an_explicit_revision_counts_too(project, things):
    write(project, FILES)
    net = load("net").Net
    things.register("a")(net)
    things.register("b", revision=2)(net)
    one, two = str(things.revision("a")), str(things.revision("b"))
    assert (one[:2], two[:2]) == ("1+", "2+")
    assert one[2:] == two[2:]


def test_the_version_of_a_distribution_counts(project, monkeypatch):
    write(project, FILES)
    net, found = load("net").Net, []
    monkeypatch.setattr(_source, "packages_distributions", lambda: {"net": ["nets"]})
    for number in ("1.0", "1.0", "1.1"):
        monkeypatch.setattr(_source, "version", lambda name, number=number: number)
        found.append(source(net, "net", "net"))
    assert found[0] == found[1] != found[2]


def test_without_source_every_run_has_its_own_revision(things):
    exec("class Net:\n    def f(self): ...\n", space := {"__name__": "nowhere"})
    things.register("net")(space["Net"])
    first = things.revision("net")
    assert things.revision("net") == first
    assert things.unrecognised == {"net": "has no source file (a notebook, the prompt)"}
    things.begin_run()
    assert things.revision("net") != first


def test_a_file_that_is_edited_after_it_was_loaded_is_nothing_to_go_by(project, things):
    write(project, FILES)
    things.register("net")(load("net").Net)
    first = things.revision("net")
    change(project / "helper.py", "Twice", "Two times")
    things.begin_run()
    assert things.revision("net") == first
    change(project / "helper.py", "TWO * x", "TWO + x")
    assert things.revision("net") == first, "a run that has begun goes on as it was"
    things.begin_run()
    assert things.revision("net") != first
    assert "edited after it was loaded" in things.unrecognised["net"]
    things.register("net")(load("net").Net)
    things.begin_run()
    assert things.revision("net") not in (first, None)
    assert things.unrecognised == {}


# --- caches -----------------------------------------------------------------------------------------------------------
SHOWN = """from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexpr.core.interfaces import Frames, Modality, datasets, detectors, preprocessors, representations
from microexpr.components.datasets.manifest import Manifest


@preprocessors.register("own_frames")
@dataclass(frozen=True)
class OwnFrames:
    requires_uncropped = False

    def __call__(self, frames, numbers):
        pixels = frames.pixels(numbers)[:, :24, :24]
        return Frames(pixels, frames.channels, np.zeros((len(numbers), 4)))


@representations.register("own_views")
@dataclass(frozen=True)
class OwnViews:
    cached, min_frames, fixed_length = True, 1, False

    def output_spec(self, incoming):
        return incoming

    def __call__(self, view, numbers, clip):
        return view.pixels * 1


@detectors.register("own_faces")
@dataclass(frozen=True)
class OwnFaces:
    def __call__(self, frame):
        return np.array([[4.0, 4.0, 28.0, 28.0]])
"""


def stored(experiment, data, out, workers=1):
    """Read all frames in a run of its own; return what the cache has then."""
    begin_run()
    workspace = Workspace(Options({"manifest": data}, out, workers=workers))
    workspace.prepare([workspace.plan(experiment, weights=False)])
    kinds = ("frames", "views")
    found = {kind: len(list((out / "cache").glob(f"{kind}-*"))) for kind in kinds}
    lines = [json.loads(line) for file in out.glob("cache/faces-*") for line in file.read_text().splitlines()]
    return found, {line["detector"] for line in lines}


def test_frames_and_views_of_changed_components_are_made_anew(project, database, tmp_path):
    write(project, {"shown.py": SHOWN})
    load("shown")
    experiment = recipe().with_values({"preprocessing": "own_frames", "representation": "own_views"})
    out = tmp_path / "out"
    assert stored(experiment, database, out)[0] == {"frames": 1, "views": 1}
    change(project / "shown.py", "view.pixels * 1", "view.pixels * 1  # as they are")
    load("shown")
    assert stored(experiment, database, out)[0] == {"frames": 1, "views": 1}
    # Both stand in one file, and it cannot be known what of it either of them uses.
    change(project / "shown.py", "* 1  #", "* 2  #")
    load("shown")
    assert stored(experiment, database, out)[0] == {"frames": 2, "views": 2}


def test_faces_of_a_changed_detector_are_found_anew_by_processes_too(project, database, tmp_path):
    write(project, {"shown.py": SHOWN})
    load("shown")
    experiment = recipe().with_values({"preprocessing": {"name": "m2", "detector": "own_faces", "size": 24}})
    found, first = stored(experiment, database, tmp_path, workers=2)
    assert (found["frames"], len(first)) == (1, 1)
    assert stored(experiment, database, tmp_path, workers=2) == (found, first)
    change(project / "shown.py", "28.0, 28.0", "28.0, 24.0")
    load("shown")
    found, both = stored(experiment, database, tmp_path, workers=2)
    assert (found["frames"], len(both)) == (2, 2)
    assert first < both


def test_frames_of_a_changed_reader_are_read_anew(project, database, tmp_path):
    reader = '@datasets.register("own_reader")\nclass Reader(Manifest):\n    """Mine."""\n    RED = 1\n'
    write(project, {"shown.py": f"{SHOWN}\n\n{reader}"})
    experiment = recipe().with_values({"datasets": "own_reader"})
    counts = []
    for old, new in (("RED = 1", "RED = 1"), ("Mine.", "My own."), ("RED = 1", "RED = 2")):
        change(project / "shown.py", old, new)
        load("shown")
        begin_run()
        workspace = Workspace(Options({"own_reader": database}, tmp_path / "out"))
        workspace.prepare([workspace.plan(experiment, weights=False)])
        counts.append(len(list((tmp_path / "out/cache").glob("frames-*"))))
    assert counts == [1, 1, 2]


def test_caches_of_the_package_stay_where_they_are(experiment):
    assert preprocessing_id(experiment.preprocessing) == "m1/" + digest(
        [1, 0, {"size": 32, "colour": "rgb", "centre": "resized"}]
    )


# --- runs -------------------------------------------------------------------------------------------------------------
def mine(**changed):
    return recipe().with_values({"model": "mine", "training.epochs": 2, **changed})


def test_a_changed_network_is_trained_anew(project, tmp_path):
    """The reported case: logits that are multiplied by 0 must not have the score that was stored before."""
    write(project, {"net.py": NET, "layers.py": LAYERS})
    data, out = write_database(tmp_path / "data", subjects=3, clips=4), tmp_path / "out"

    def run():
        load("net")
        done = microexpr.run_experiment(mine(), data, out, workers=1)
        (cell,) = done.summary.cells
        proba = done.result.cells[0].result.predictions()[["p_0", "p_1", "p_2"]].to_numpy()
        return done, cell.key, proba

    done, key, proba = run()
    assert done.run == Run(trained=3, reused=0)
    assert "<p>Folds: trained 3, reused 0.</p>" in done.paths.details.read_text("utf-8")
    change(project / "net.py", "# the mean of what", "# all that")
    change(project / "net.py", "A convolution, and a head.", "A convolution and its head.")
    done, again, _ = run()
    assert (again, done.run) == (key, Run(trained=0, reused=3))
    change(project / "net.py", "* 1, {}", "* 0, {}")
    done, zeroed, flat = run()
    assert zeroed != key
    assert done.run == Run(trained=3, reused=0)
    assert flat == pytest.approx(1 / 3)
    assert proba != pytest.approx(1 / 3)
    change(project / "layers.py", "x * 2", "x * 3")
    load("net")
    now, beside = [found for found in microexpr.check_results(out) if found.code == "ME017"]
    assert (now.level, beside.level) == ("warning", "warning")
    assert now.sentence == "Components have changed since results were computed."
    assert key in now.evidence
    assert zeroed in now.evidence
    assert beside.sentence == "Results of one experiment were computed by different code."
    assert beside.evidence.startswith("model mine: revision 1+")
    assert "ME017" in command("check", out).out


NOTEBOOK = """
import sys
import microexpr
from microexpr.cli.show import summary
from microexpr.report import drawings
sys.path[:0] = {paths}
drawings.as_svg, drawings.as_pdf = lambda figure: {drawing!r}, lambda figure: b"%PDF"
from conftest import recipe
for _ in range(2):
    done = microexpr.run_experiment(
        recipe().with_values({{"model": "mine", "training.epochs": 1}}), {data!r}, {out!r}, workers=1, jobs=2
    )
    summary(done.summary, done.paths.html)
"""


def test_a_component_without_source_reuses_nothing_and_says_so(project, tmp_path):
    """Typed in, run twice, each time with folds in processes that know nothing of what was typed."""
    write(project, {"layers.py": LAYERS})
    data = write_database(tmp_path / "data", subjects=2, clips=3)
    paths = [str(project), str(TESTS)]
    text = f"import sys\nsys.path.insert(0, {paths[0]!r})\n" + NET
    text += NOTEBOOK.format(paths=paths, drawing=DRAWING, data=str(data), out=str(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-"], input=text, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("folds: trained 2, reused 0\n") == 2
    said = [line for line in done.stdout.splitlines() if "model 'mine'" in line]
    assert len(said) == 2
    assert all("no source file" in line for line in said)
    assert len(list((tmp_path / "out/results").iterdir())) == 2
