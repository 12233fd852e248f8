"""Several processes and one cache: what they prepare at the same time is there once, and right."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from conftest import recipe, write_database
from microexpr.core.claims import claimed
from microexpr.core.files import json_lines
from microexpr.core.interfaces import datasets, detectors, preprocessors
from microexpr.core.progress import Silent
from microexpr.data.cache import Cache, FrameStore
from microexpr.learning import learners
from microexpr.runs import jobs
from microexpr.runs.plan import Options, Workspace
from processes import LIMIT, ended, killed_at_last, start

CLIPS = 12
WANTED = ([1, 4], [1, 4, 7], [4, 1, 2])
"""Frames of every clip that each process needs."""
ALL = [1, 2, 4, 7]

PROCESS = """
import json
import sys
import time
from pathlib import Path

import numpy as np

from microexpr.components.datasets.manifest import Manifest
from microexpr.core.interfaces import datasets, detectors, preprocessors, representations, samplers
from microexpr.data.cache import Cache

number, several, stop = map(int, sys.argv[1:4])
root, folder, meeting = map(Path, sys.argv[4:7])
wanted = json.loads(sys.argv[7])
found = {"read": [], "faces": 0, "views": 0, "features": 0}


def meet(place):
    (meeting / f"{place}.{number}").touch()
    until = time.monotonic() + 60
    while len(list(meeting.glob(f"{place}.*"))) < several:
        assert time.monotonic() < until, f"no other process came to {place}"
        time.sleep(0.01)


@detectors.register("whole")
class Whole:
    def __call__(self, frame):
        found["faces"] += 1
        return np.array([[2.0, 2.0, 42.0, 42.0]])


def frames(self, clip, numbers, modality, real=Manifest.frames):
    if len(found["read"]) == stop:
        (meeting / "stopped").touch()
        time.sleep(100)
        raise SystemExit("this process was not killed")
    time.sleep(0.002)  # so that the others can come in between
    found["read"] += [[clip.key, number] for number in numbers]
    return real(self, clip, numbers, modality)


def appending(self, progress, real=Cache._appending, places=iter(("frames", "views"))):
    meet(next(places))  # until all of them have seen that something is missing
    return real(self, progress)


Manifest.frames, Cache._appending = frames, appending
cache = Cache(datasets.get("manifest")(root), "colour", folder, "f" * 64)
clips = cache.dataset.clips()
parts = {"m1": {"size": 32}, "m2": {"size": 24, "detector": "whole"}}
each = dict.fromkeys(range(len(clips)), wanted)
parts = [(name, preprocessors.build(name, params), each) for name, params in parts.items()]
assert cache.prepare(parts, clips, 1) == []
flow = representations.build("flow", {})


class Counted:
    cached, min_frames, fixed_length = True, 2, False
    output_spec = flow.output_spec

    def __call__(self, *words):
        found["views"] += 1
        time.sleep(0.002)
        return flow(*words)


views = cache.views("m1", clips, samplers.build("onset_apex", {}), Counted())
cache.represent(views, "flow", 1)


def embed():
    found["features"] += 1
    time.sleep(0.2)
    return np.random.default_rng().normal(size=(len(views), 5))


meet("features")
views = cache.embedded(views, "backbone", embed)
print(json.dumps(found | {"stored": views.features.tobytes().hex(), "seconds": views.seconds}))
"""


def prepare(folder: Path, data: Path, number: int, several: int, wanted: list[int], stop: int = -1):
    """Start a process that prepares frames in a cache; with `stop` it stays there after reading as many."""
    return start(folder, PROCESS, number, several, stop, data, folder / "cache", folder, json.dumps(wanted))


def cached(cache: Path, kind: str) -> dict[tuple[str, str, object], tuple[bytes, tuple[float, ...], str | None]]:
    """Return pixels, window and hash of every frame or view, each of which must be there once."""
    found = {}
    for folder in cache.glob(f"{kind}-*"):
        store = FrameStore(folder, hashed=kind == "frames")
        frames, lines = store.open(), list(json_lines(folder / "index.jsonl"))
        assert len(lines) == len(store.rows) == len(frames.pixels)
        for place, row in store.rows.items():
            pixels = frames.pixels[row].tobytes()
            found[folder.name, *place] = pixels, tuple(frames.window[row]), store.hashes.get(place)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("few"), subjects=3, clips=CLIPS // 3)


@pytest.fixture(scope="module")
def single(data, tmp_path_factory):
    """A cache that one process filled."""
    folder = tmp_path_factory.mktemp("single")
    found = json.loads(ended(prepare(folder, data, 0, 1, ALL))[0])
    assert len(found["read"]) == len(ALL) * CLIPS
    return folder / "cache"


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):
    """A cache that three processes filled at the same time, and what each of them did."""
    folder = tmp_path_factory.mktemp("shared")
    processes = [prepare(folder, data, number, 3, wanted) for number, wanted in enumerate(WANTED)]
    found = list(map(json.loads, ended(*processes)))
    return folder / "cache", found


def test_every_frame_is_read_and_stored_by_one_process(shared, single):
    cache, found = shared
    read = [tuple(each) for process in found for each in process["read"]]
    assert len(read) == len(set(read)) == len(ALL) * CLIPS
    alone = cached(single, "frames")
    assert len(alone) == 2 * len(ALL) * CLIPS
    assert len({pixels for pixels, _, _ in alone.values()}) == len(alone), "pixels tell frames apart"
    assert cached(cache, "frames") == alone


def test_every_face_is_detected_once(shared):
    cache, found = shared
    assert sum(process["faces"] for process in found) == len(ALL) * CLIPS
    (file,) = cache.glob("faces-*.jsonl")
    places = [(line["detector"], line["clip"], line["frame"]) for line in json_lines(file)]
    assert len(places) == len(set(places)) == len(ALL) * CLIPS


def test_every_view_is_computed_once(shared, single):
    cache, found = shared
    assert sum(process["views"] for process in found) == CLIPS
    alone = cached(single, "views")
    assert len(alone) == CLIPS
    assert cached(cache, "views") == alone


def test_features_that_several_processes_need_are_computed_by_one_of_them(shared):
    """The others wait for it, and count the time that it took."""
    cache, found = shared
    assert sum(process["features"] for process in found) == 1
    assert len({process["stored"] for process in found}) == 1
    assert {process["seconds"] >= 0.2 / CLIPS for process in found} == {True}
    assert len(list(cache.glob("features/*.npz"))) == 1


class When(Silent):
    """Do something when a bar with this text opens."""

    def __init__(self, text, action):
        self.text, self.action, self.done = text, action, 0

    def start(self, text: str, total: int) -> None:
        if text.startswith(self.text):
            self.done += 1
            self.action()


def test_a_process_that_is_killed_while_it_prepares_frames_is_followed_by_the_one_that_waits(data, single, tmp_path):
    """The other one prepares the rest, and what the killed one wrote is not prepared again."""
    process = prepare(tmp_path, data, 0, 1, ALL, stop=20)
    with killed_at_last(process):
        until = time.monotonic() + LIMIT
        while not (tmp_path / "stopped").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.02)
        cache = Cache(datasets.get("manifest")(data), "colour", tmp_path / "cache", "f" * 64)
        clips, progress = cache.dataset.clips(), When("waiting for another process", process.kill)
        wanted = ("m1", preprocessors.build("m1", {"size": 32}), dict.fromkeys(range(CLIPS), ALL))
        assert len(cache.store("m1").rows) == 20
        assert cache.prepare([wanted], clips, 1, progress) == []
        assert progress.done == 1
        assert process.wait(10) == -signal.SIGKILL
    folder = cache.store("m1").folder.name
    alone, mine = (
        {place: value for place, value in cached(where, "frames").items() if place[0] == folder}
        for where in (single, tmp_path / "cache")
    )
    assert len(mine) == len(ALL) * CLIPS
    assert mine == alone


@pytest.mark.parametrize("waits", [False, True])
def test_faces_that_another_process_found_after_the_cache_was_opened_are_not_detected_again(
    data, tmp_path, monkeypatch, waits
):
    """The other process is this one, with a cache of its own; it holds the lock until the first one waits for it."""
    seen = []
    whole = lambda: lambda frame: seen.append(1) or np.array([[2.0, 2.0, 42.0, 42.0]])  # noqa: E731
    monkeypatch.setitem(detectors._factories, "whole", whole)
    caches = [Cache(datasets.get("manifest")(data), "colour", tmp_path, "f" * 64) for _ in range(2)]

    def prepare(cache, size, progress=None):
        wanted = (f"m2 {size}", preprocessors.build("m2", {"size": size, "detector": "whole"}), apex)
        assert cache.prepare([wanted], cache.dataset.clips(), 1, progress) == []

    apex = {row: [4] for row in range(CLIPS)}
    with ExitStack() as other:
        if waits:
            other.enter_context(claimed(tmp_path / ".lock", wait=True))

        def fill() -> None:
            other.close()
            prepare(caches[0], 24)

        progress = When("waiting for another process", fill)
        if not waits:
            fill()
        prepare(caches[1], 32, progress)
    assert progress.done == waits
    assert len(seen) == CLIPS
    assert len(caches[0].store("m2 24").rows) == len(caches[1].store("m2 32").rows) == CLIPS


@pytest.mark.numeric
@pytest.mark.usefixtures("one_thread")
def test_features_of_a_frozen_backbone_are_kept_for_the_next_run(data, tmp_path, monkeypatch):
    """Another size of images, or another model, has its own; another protocol has not."""
    calls = []
    real = learners.Frozen.embed
    monkeypatch.setattr(
        learners.Frozen, "embed", lambda self, views, rows: calls.append(len(rows)) or real(self, views, rows)
    )

    def prepared(**values):
        """Open the folder as a new run does."""
        model = {"name": "mobilevit_svm", "size": "xxs", "weights": "random", **values.pop("model", {})}
        workspace = Workspace(Options({"manifest": data}, tmp_path))
        experiment = recipe().with_values({"model": model, "preprocessing.size": 64, **values})
        (plan,) = workspace.prepare([workspace.plan(experiment)])
        return plan, workspace

    def trained():
        plan, workspace = prepared()
        (fold,) = jobs.run(plan, workspace, only=[plan.folds[0].name]).folds
        assert len(workspace.done.trained) == 1
        return fold

    first = trained()
    assert calls == [CLIPS], "all views at once"
    for file in (tmp_path / "results").rglob("*.parquet"):
        file.unlink()
    again = trained()
    assert calls == [CLIPS]
    bits = [fold.views.filter(regex="p_").to_numpy().tobytes() for fold in (first, again)]
    assert bits[0] == bits[1]
    own = prepared()[0].embedded().features
    plan, _ = prepared(protocol={"name": "subject_kfold", "k": 3})
    assert plan.embedded().features.tobytes() == own.tobytes()
    assert calls == [CLIPS]
    other = ({"preprocessing.size": 96}, {"model": {"grey": "copy"}}, {"sampling": LATER})
    for number, values in enumerate(other, start=2):
        plan, _ = prepared(**values)
        for _ in range(2):
            assert plan.embedded().features.shape == own.shape
        assert calls == [CLIPS] * number
    assert len(list(tmp_path.glob("cache/features/*.npz"))) == len(calls) == 4


LATER = {"name": "mfs", "onset": [], "apex": [1], "offset": []}
