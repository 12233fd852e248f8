"""Claims: one owner at a time, across processes, without locks of the system; those of the dead lapse."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from microexpr.core import claims
from microexpr.core.claims import busy, claimed, held
from microexpr.core.errors import StoreError
from processes import ended, killed_at_last, start
from refusal import refuses

HOLD = """
import sys
import time
from pathlib import Path

from microexpr.core.claims import claimed

file, mark = map(Path, sys.argv[1:])
with claimed(file, wait=False, run="r") as mine:
    mark.write_text(mine.id)
    time.sleep(200)
"""
COUNT = """
import sys
from pathlib import Path

from microexpr.core.claims import claimed

file, count, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for _ in range(times):
    with claimed(file, wait=True):
        count.write_text(str(int(count.read_text()) + 1))
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "work.claim"


@pytest.fixture
def holder(tmp_path, file):
    """Another process that has the claim."""
    process = start(tmp_path, HOLD, file, tmp_path / "mark")
    with killed_at_last(process):
        while not (tmp_path / "mark").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        yield process


def of_elsewhere(file, **changed):
    """Write the claim of a process of another machine."""
    with claimed(file, wait=False) as mine:
        pass
    file.write_text(json.dumps(asdict(replace(mine, machine="another", **changed))))


def test_a_claim_has_one_owner_and_leaves_nothing_behind(file):
    with claimed(file, wait=False) as mine:
        assert mine.pid == os.getpid()
        assert busy(file) == mine
        with claimed(file, wait=False) as second:
            assert second is None
    assert busy(file) is None
    assert list(file.parent.iterdir()) == []


def test_processes_take_turns(tmp_path, file):
    (tmp_path / "count").write_text("0")
    ended(*(start(tmp_path, COUNT, file, tmp_path / "count", 50) for _ in range(3)))
    assert (tmp_path / "count").read_text() == "150"
    assert not list(tmp_path.glob("*.claim*"))


def test_the_claim_of_a_living_process_is_left_alone(file, holder):
    assert busy(file).pid == holder.pid
    with claimed(file, wait=False) as mine:
        assert mine is None


def test_the_claim_of_a_killed_process_lapses_at_once(file, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    assert busy(file) is None
    with claimed(file, wait=False, run="r") as mine:
        assert mine.attempt == 2  # the second process of this run that does this work
    with claimed(file, wait=False, run="other") as mine:
        assert mine.attempt == 1


def test_a_process_that_waits_gets_the_claim_of_one_that_is_killed(file, holder):
    threading.Timer(0.3, holder.kill).start()
    start = time.monotonic()
    with claimed(file, wait=True) as mine:
        assert mine.pid == os.getpid()
    assert 0.2 < time.monotonic() - start < 20


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it(file):
    """Numbers of processes are used again: this one has the number, but began at another time."""
    with claimed(file, wait=False) as mine:
        pass
    file.write_text(json.dumps(asdict(replace(mine, began="1"))))
    assert busy(file) is None


def test_the_claim_of_another_machine_lapses_when_nobody_touches_it(file, monkeypatch):
    monkeypatch.setattr(claims, "LAPSE", 0.4)
    of_elsewhere(file)
    with claimed(file, wait=False) as mine:
        assert mine is None  # it is not known yet
    for _ in range(6):  # its process is alive
        time.sleep(0.1)
        os.utime(file)
        assert busy(file).machine == "another"
    time.sleep(0.5)
    with claimed(file, wait=False) as mine:
        assert mine.pid == os.getpid()


@pytest.mark.parametrize("shift", [-3600, 3600])
def test_clocks_that_differ_or_are_set_back_change_nothing(file, shift):
    """Neither a claim that was made an hour ago nor one of the future is taken."""
    of_elsewhere(file, since=time.time() + shift)
    os.utime(file, (time.time() + shift, time.time() + shift))
    with claimed(file, wait=False) as mine:
        assert mine is None


def test_an_owner_touches_its_claim(file, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.05)
    monkeypatch.setattr(claims, "_heart", claims._Heart())
    with claimed(file, wait=False):
        before = file.stat().st_mtime_ns
        time.sleep(0.4)
        assert file.stat().st_mtime_ns > before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_claim_that_does_not_say_whose_it_is_lapses_like_one_of_another_machine(file, monkeypatch, content):
    """Its process was killed when it had created the file, before it wrote."""
    monkeypatch.setattr(claims, "LAPSE", 0.2)
    file.write_text(content)
    assert busy(file) == claims.UNKNOWN
    time.sleep(0.3)
    with claimed(file, wait=False) as mine:
        assert mine is not None


def test_a_process_whose_claim_was_taken_leaves_that_of_the_other_alone(file):
    with claimed(file, wait=False) as mine:
        other = replace(mine, id="another")
        file.write_text(json.dumps(asdict(other)))
    assert busy(file) == other


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with refuses("E601", tmp_path / "none", kind=StoreError), claimed(tmp_path / "none/a", wait=False):
        pass


def test_a_folder_that_is_in_use_is_named(tmp_path):
    with held(tmp_path), refuses("E610", tmp_path, kind=StoreError), held(tmp_path):
        pass


@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime (Debian's package)")
def test_a_process_whose_clock_runs_an_hour_behind_is_left_alone(tmp_path, file):
    code = HOLD.replace("200", "20")
    (tmp_path / "behind.py").write_text(code)
    words = ["faketime", "-f", "-1h", sys.executable, tmp_path / "behind.py", file, tmp_path / "mark"]
    with subprocess.Popen([*map(str, words)]) as process, killed_at_last(process):
        while not (tmp_path / "mark").exists():
            assert process.poll() is None
            time.sleep(0.02)
        assert busy(file) is not None
        with claimed(file, wait=False) as mine:
            assert mine is None
