"""Components from outside the package in processes that know nothing of them: by file, by script, by entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import TESTS, write_database

LIMIT = 120
"""Seconds after which a process is killed."""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, text
    file.write_text(text.replace(old, new))


def python(*words: object, cwd: Path, path: tuple[Path, ...] = (), text: str | None = None) -> str:
    """Run a process that must succeed, with these folders on its path, and return what it prints."""
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    env = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PYTHONPATH": os.pathsep.join([*inherited, *map(str, path)]),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # files of one size change within a second here
    }
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=env, input=text, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


SAMPLER = """
from dataclasses import dataclass

from microexpr.core.interfaces import samplers


@samplers.register("{name}", revision=3)
@dataclass(frozen=True)
class Own:
    step: int = 0

    nominal = 1
    uses_annotations = True

    def __call__(self, clip):
        return [(clip.apex + self.step + {step},)]
"""
DISTRIBUTION = {
    "own_pack/__init__.py": "",
    "own_pack/parts.py": SAMPLER.format(name="by_point", step="(1)"),
    "own_pack-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: own-pack\nVersion: 1.0\n",
    "own_pack-1.0.dist-info/RECORD": "own_pack/__init__.py,,\nown_pack/parts.py,,\n",
    "own_pack-1.0.dist-info/entry_points.txt": "[microexpr.sampling]\nby_point = own_pack.parts:Own\n",
}


# --- whole folds ------------------------------------------------------------------------------------------------------
SCRIPT = (
    '''"""A study of the user's own, with a sampling in the same file and one in a module beside it."""
import json
import pickle
import sys
from pathlib import Path

import beside
'''
    + SAMPLER.format(name="by_script", step="beside.STEP")
    + """

def main(tests, data, folder):
    sys.path.append(tests)
    from conftest import recipe
    from microexpr.core.parallel import begin_run
    from microexpr.runs import jobs
    from microexpr.runs.plan import Options, Workspace

    class Typed(Own):
        pass

    exec("def typed(): return made()", {"made": Typed, "__name__": "nowhere"}, space := {})
    samplers.register("by_hand")(space["typed"])
    begin_run()
    names = ("by_file", "by_script", "by_point", "by_hand")
    experiments = {name: recipe().with_values({"model": "pca_svm", "sampling": name}) for name in names}
    folders = [Path(folder, where) for where in ("here", "there")]
    here, there = (Workspace(Options({"manifest": Path(data)}, out)) for out in folders)
    found = {}
    for name, experiment in experiments.items():
        for workspace in (here, there):
            (plan,) = workspace.prepare([workspace.plan(experiment)])
            if workspace is here:
                jobs.run(plan, workspace, only=[plan.folds[0].name])
        found[name] = jobs._launch([plan], there, [plan.folds[0].name], {})
    Path(folder, "jobs").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
"""
)
FRESH = """
import json
import pickle
import sys
from pathlib import Path

from microexpr.core.errors import MicroexprError
from microexpr.core.interfaces import samplers
from microexpr.runs import jobs

found = {}
for name, launch in pickle.loads(Path(sys.argv[1]).read_bytes()).items():
    before = sorted({"beside", "own_pack.parts"} & sys.modules.keys())
    assert name not in samplers._factories, name
    try:
        jobs.work(launch, 1, 0)
        state = "trained"
    except MicroexprError as error:
        state = error.code
    [plugin], [job] = launch.plugins, launch.jobs
    found[name] = {"state": state, "key": job.key, "fold": job.fold, "offered": plugin.entry_point}
    if state == "trained":
        assert samplers.revision(name) == f"3+{plugin.source}"
found["run as a script"] = "conftest" in sys.modules
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One fold with each of the samplings, here trained by the script, there by a process that has only the jobs."""
    folder = tmp_path_factory.mktemp("plugins")
    data = write_database(folder / "data", subjects=3, clips=3)
    site = write(folder / "site", DISTRIBUTION)
    beside = "STEP = 2\n" + SAMPLER.format(name="by_file", step="(-1)")
    project = write(folder / "project", {"beside.py": beside, "script.py": SCRIPT})
    python(project / "script.py", TESTS, data, folder, cwd=folder, path=(site,))
    elsewhere = write(folder / "elsewhere", {"fresh.py": FRESH})
    return folder, json.loads(python("fresh.py", folder / "jobs", cwd=elsewhere, path=(site,)))


@pytest.mark.numeric
@pytest.mark.parametrize(("name", "frame"), [("by_file", 3), ("by_script", 6), ("by_point", 5)])
def test_a_fresh_process_trains_with_a_component_from_outside_as_the_first_one_does(trained, name, frame):
    folder, found = trained
    assert found[name]["state"] == "trained"
    assert found[name]["offered"] is (name == "by_point")
    place = f"results/{found[name]['key']}/fold-{found[name]['fold']}.views.parquet"
    here, there = (pd.read_parquet(folder / where / place) for where in ("here", "there"))
    assert here.equals(there)
    assert {tuple(frames) for frames in there["frames"]} == {(frame,)}


def test_a_fresh_process_runs_no_more_of_a_script_than_importing_it_does(trained):
    assert trained[1]["run as a script"] is False


def test_a_fresh_process_refuses_a_job_with_a_component_that_was_typed_in(trained):
    folder, found = trained
    assert found["by_hand"]["state"] == "E117"
    assert not list(folder.glob(f"there/results/{found['by_hand']['key']}/*.parquet"))


# --- one component ----------------------------------------------------------------------------------------------------
GIVE = """
import importlib
import pickle
import sys
from pathlib import Path

from microexpr.core.interfaces import samplers

for name in sys.argv[2:]:
    importlib.import_module(name)
Path(sys.argv[1]).write_bytes(pickle.dumps(samplers.plugins()))
"""
TAKE = """
import json
import pickle
import sys
from pathlib import Path

from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import REGISTRIES

found = []
for plugin in pickle.loads(Path(sys.argv[1]).read_bytes()):
    registry = REGISTRIES[plugin.folder]
    try:
        registry.load(plugin)
        assert registry.build(plugin.name, {}).nominal == 1
        assert registry.revision(plugin.name) == f"{plugin.revision}+{plugin.source}"
        found.append("loaded")
    except ConfigError as error:
        assert plugin.name in str(error)
        found.append(error.code)
print(json.dumps(found))
"""


@pytest.fixture
def project(tmp_path):
    """A folder with modules of the user's own, each of which registers a sampling."""
    files = {
        "alone.py": SAMPLER.format(name="alone", step=1),
        "helped.py": "import helper\n" + SAMPLER.format(name="helped", step="helper.STEP"),
        "helper.py": "STEP = 1\n",
        "pack/__init__.py": SAMPLER.format(name="whole", step=1),
        "pack/inner/part.py": "from ..step import STEP\n" + SAMPLER.format(name="part", step="STEP"),
        "pack/inner/__init__.py": "",
        "pack/step.py": "STEP = 1\n",
        "apart/__init__.py": "",
        "apart/step.py": "STEP = 1\n",
    }
    write(tmp_path / "elsewhere", {"give.py": GIVE, "take.py": TAKE})
    return write(tmp_path / "project", files)


def give(project: Path, *modules: str, path: tuple[Path, ...] = ()) -> None:
    """Let a process register components and write down what another one needs."""
    python("give.py", project / "plugins", *modules, cwd=project.with_name("elsewhere"), path=(project, *path))


def take(project: Path, *path: Path) -> list[str]:
    """Return what happens to each component in a process that was given only that."""
    return json.loads(python("take.py", project / "plugins", cwd=project.with_name("elsewhere"), path=path))


def test_modules_and_parts_of_packages_are_found_by_their_files(project):
    give(project, "alone", "helped", "pack", "pack.inner.part")
    assert take(project) == ["loaded"] * 4


@pytest.mark.parametrize(
    ("module", "file", "old", "new"),
    [
        ("alone", "alone.py", "+ 1", "+ 2"),
        ("helped", "helper.py", "1", "2"),
        ("pack.inner.part", "pack/step.py", "1", "2"),
    ],
)
def test_an_edited_file_is_refused(project, module, file, old, new):
    give(project, module)
    change(project / file, old, new)
    assert take(project)[-1] == "E114"


def test_a_file_with_another_comment_is_the_same(project):
    give(project, "alone")
    change(project / "alone.py", "nominal = 1", "nominal = 1  # one view")
    assert take(project) == ["loaded"]


def test_an_edited_package_with_an_entry_point_is_refused(project, tmp_path):
    site = write(tmp_path / "site", DISTRIBUTION)
    python(
        "-c",
        f"from microexpr.core.interfaces import samplers; samplers.get('by_point')\n{GIVE}",
        project / "plugins",
        cwd=tmp_path,
        path=(site,),
    )
    assert take(project, site) == ["loaded"]
    change(site / "own_pack/parts.py", "(1)", "(2)")
    assert take(project, site) == ["E114"]


EDITED = """
import pickle, sys
from pathlib import Path
import alone
from microexpr.core.interfaces import samplers
Path(alone.__file__).write_text(Path(alone.__file__).read_text().replace("+ 1", "+ 2"))
samplers.begin_run()
Path(sys.argv[1]).write_bytes(pickle.dumps(samplers.plugins()))
"""
TYPED = SAMPLER.format(name="typed", step=1)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-c", f"{TYPED}{GIVE}"], None),
        (["-"], f"{TYPED}{GIVE}"),
        (["-c", f"exec(compile({TYPED!r}, '<cell>', 'exec'), {{'__name__': 'nowhere'}})\n{GIVE}"], None),
        (["-c", EDITED], None),
    ],
)
def test_what_has_no_source_or_was_edited_after_it_was_loaded_is_refused(project, words, text):
    python(*words, project / "plugins", cwd=project.parent, path=(project,), text=text)
    assert take(project) == ["E117"]


def test_a_module_is_the_one_of_its_file_though_another_has_its_name(project):
    """A process that a launcher starts in another folder may find that one first."""
    give(project, "alone")
    write(project.with_name("elsewhere"), {"alone.py": "X = 1\n"})
    assert take(project) == ["loaded"]


@pytest.mark.parametrize("imports", ["import helper", "from apart.step import STEP as helper", "from . import step"])
def test_a_script_that_is_run_as_a_module_is_loaded_with_what_it_imports(project, imports):
    """`python -m apart.script` in the folder of the project."""
    script = f"{imports}\n{SAMPLER.format(name='script', step=1)}\nif __name__ == '__main__':\n"
    write(project, {"apart/script.py": script + "".join(f"    {line}\n" for line in GIVE.splitlines())})
    python("-m", "apart.script", project / "plugins", cwd=project)
    assert take(project) == ["loaded"]


@pytest.mark.parametrize("imported", ["multiprocessing", "json"])
def test_a_script_is_loaded_in_a_process_that_runs_another_one(project, imported):
    """Importing `multiprocessing`, as torch and joblib do, gives the module `__main__` a second name."""
    script = f"{SAMPLER.format(name='script', step=1)}\nif __name__ == '__main__':\n"
    write(project, {"script.py": script + "".join(f"    {line}\n" for line in GIVE.splitlines())})
    python(project / "script.py", project / "plugins", cwd=project.parent)
    change(project.with_name("elsewhere") / "take.py", "import json\n", f"import json\nimport {imported}\n")
    assert take(project) == ["loaded"]


@pytest.mark.parametrize("lost", [False, True])
def test_what_cannot_be_imported_is_refused_with_the_name_of_the_component(project, tmp_path, lost):
    """Its file is lost, or it imports a module from a folder that is not on the path of the other process."""
    further = write(tmp_path / "further", {"distant.py": "STEP = 1\n"})
    change(project / "alone.py", "from dataclasses", "import distant\nfrom dataclasses")
    give(project, "alone", path=(further,))
    if lost:
        (project / "alone.py").unlink()
    assert take(project) != ["loaded"]
