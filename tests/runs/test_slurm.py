"""Studies on a SLURM cluster: two nodes on this machine, with one drained and tasks requeued in the middle."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from microexpr import api
from microexpr.components.launchers.slurm import Slurm
from microexpr.core.errors import LauncherError
from microexpr.runs.grid import status
from processes import LIMIT, killed_at_last
from refusal import refuses
from study_files import SUBJECTS, lasting, write_study
from tools import slurm_cluster as slurm
from tools.slurm_cluster import until

pytestmark = [
    pytest.mark.skipif(not slurm.AVAILABLE, reason=slurm.WITHOUT),
    pytest.mark.cluster,
    pytest.mark.timeout(600),
]
TASKS = 20
SEEDS = "0,1"
FOLDS = 4 * SUBJECTS * 2
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    """The environment of the cluster's commands, without accounting: nothing may ask for it."""
    folder = tmp_path_factory.mktemp("slurm")
    sacct = folder / "bin" / "sacct"
    sacct.parent.mkdir()
    sacct.write_text(f"#!/bin/sh\necho asked >>{folder}/asked\nexit 1\n")
    sacct.chmod(0o755)
    with slurm.cluster(folder) as env:
        yield {**env, **THREADS, "PATH": f"{sacct.parent}:{env['PATH']}"}
    assert not (folder / "asked").exists()


@pytest.fixture
def cluster(daemons):
    """The cluster with all nodes and no jobs, whatever the last test has left."""
    yield daemons
    slurm.cancel_all(daemons)
    for node in slurm.NODES:  # refused if it is not drained
        subprocess.run(
            ["scontrol", "update", f"NodeName={node}", "State=RESUME"], env=daemons, check=False, capture_output=True
        )


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("given"), epochs=8)


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    """What must not depend on how the study is run, from one process of this machine."""
    out = tmp_path_factory.mktemp("alone") / "out"
    study, data = given
    words = ("study", study, "--data", data, "--out", out, "--workers", 1, "--quiet", "--seeds", SEEDS)
    done = microexpr({**os.environ, **THREADS}, *words)
    assert done.returncode == 0, done.stderr
    return lasting(out)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "microexpr", *map(str, words)]


def microexpr(env, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), env=env, capture_output=True, text=True, timeout=LIMIT, check=False)


def on_slurm(given, out: Path, jobs: int, *more: object) -> list[object]:
    study, data = given
    return [
        "study", study, "--data", data, "--out", out, "--workers", 1, "--quiet", "--seeds", SEEDS,
        "--launcher", "slurm", "--jobs", jobs, "--resource", "minutes=10", *more,
    ]  # fmt: skip


def ask(env, *words: str) -> str:
    return subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout


def queued(env) -> list[str]:
    return ask(env, "squeue", "--noheader", "--array", "--format=%i %T").splitlines()


def frozen(out: Path, number: int) -> dict[str, int]:
    """Freeze so many tasks in the middle of a fold; return their jobs and processes. All nodes are this machine."""
    found: dict[str, int] = {}

    def training() -> set[int]:
        return {each.pid for each in status(out).running} - {0}  # of a claim that is just being written

    def enough() -> bool:
        for pid in training() - set(found.values()):
            with suppress(OSError):  # it has ended
                os.kill(pid, signal.SIGSTOP)
                if pid not in training() or list(out.glob("results/*/.lock")):  # all others would wait for it
                    os.kill(pid, signal.SIGCONT)
                    continue
                env = dict(re.findall(r"(\w+)=([^\0]*)", Path(f"/proc/{pid}/environ").read_text()))
                found[env["SLURM_JOB_ID"]] = pid
        return len(found) >= number

    until(enough, f"fewer than {number} tasks are training")
    return found


def records(env, number: str) -> dict[str, dict[str, str]]:
    """Return what SLURM knows of the tasks of an array, by the numbers of their jobs."""
    rows = [
        dict(re.findall(r"(\w+)=(\S+)", row)) for row in ask(env, "scontrol", "-o", "show", "job", number).split("\n")
    ]
    return {row["JobId"]: row for row in rows if row}


def test_a_detached_study_survives_a_drained_node_and_requeued_tasks(cluster, given, alone, tmp_path):
    """Its results have the bytes of those of one process, no fold is lost, and every task ends well."""
    out = tmp_path / "out"
    done = microexpr(cluster, *on_slurm(given, out, TASKS, "--detach"))
    assert done.returncode == 0, done.stderr
    (number,) = re.findall(r"SLURM job (\d+)", done.stdout)
    (requeued, _), (signalled, process), *others = frozen(out, 2).items()
    early = microexpr(cluster, "collect", out)
    assert early.returncode == 1
    assert "E614" in early.stderr
    assert "Traceback" not in early.stderr

    ask(cluster, "scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    ask(cluster, "scontrol", "requeue", requeued)  # as when its node is lost
    ask(cluster, "scancel", "--signal=USR2", f"{signalled}.0")  # as shortly before its time limit
    for each in (process, *(other for _, other in others)):
        os.kill(each, signal.SIGCONT)
    until(lambda: records(cluster, number)[signalled]["Restarts"] == "1", "the task does not queue itself again")
    ask(cluster, "scontrol", "update", "NodeName=n2", "State=RESUME")
    until(lambda: len(list(out.glob("results/*/fold-*.views.parquet"))) == FOLDS, "folds are missing", LIMIT)
    # Of the tasks that have not started, which would find nothing left, only those that were requeued need to run.
    for task, row in records(cluster, number).items():
        if row["JobState"] == "PENDING" and task not in (requeued, signalled):
            idle = row["ArrayTaskId"].partition("%")[0]
            ask(cluster, "scancel", "--state=PENDING", f"{number}_[{idle}]")
    until(lambda: not queued(cluster), "the tasks do not end", LIMIT)
    ended = records(cluster, number)
    assert {task for task, row in ended.items() if row["Restarts"] != "0"} == {requeued, signalled}
    assert {row["JobState"] for task, row in ended.items() if row["StartTime"] != row["EndTime"]} == {"COMPLETED"}

    found = json.loads(microexpr(cluster, "status", out, "--json").stdout)
    assert (found["total"], found["done"], found["waiting"], found["failed"]) == (FOLDS, FOLDS, 0, [])
    assert found["submitted"] == f"SLURM job {number}"
    done = microexpr(cluster, "collect", out, "--quiet")
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").is_file()
    assert lasting(out) == alone
    assert not api.verify_store(out)


def test_a_command_that_is_ended_cancels_its_tasks_and_continues_later(cluster, given, alone, tmp_path):
    outs = {signal.SIGINT: tmp_path / "interrupted", signal.SIGTERM: tmp_path / "terminated"}
    started = {
        number: subprocess.Popen(
            command(*on_slurm(given, out, 1, "--resource", "memory_gb=0.5")),
            env=cluster,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, out in outs.items()
    }
    with killed_at_last(*started.values()):
        waiting = dict(started)

        def signalled() -> bool:
            for number in [each for each in waiting if list(outs[each].glob("results/*/fold-*.views.parquet"))]:
                waiting.pop(number).send_signal(number)
            return not waiting

        until(signalled, "no fold is trained")
        for number, process in started.items():
            _, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 128 + number, errors
            assert "continues where it stopped" in errors
    until(lambda: not queued(cluster), "the tasks are not cancelled")
    out = outs[signal.SIGINT]
    assert not list(out.rglob("*.claim"))
    before = lasting(out)
    done = microexpr(cluster, *on_slurm(given, out, 2))
    assert done.returncode == 0, done.stderr
    assert before.items() <= lasting(out).items()
    assert lasting(out) == alone


def test_tasks_that_die_at_once_end_the_command_with_the_end_of_their_log(cluster, given, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster["SLURM_CONF"])
    study, data = given
    launcher = {"name": "slurm", "minutes": 10, "setup": ["echo there is no module cuda/99 >&2", "exit 3"]}
    with refuses("E752", "there is no module cuda/99", "_log.out", kind=LauncherError):
        api.run_study(study, data, tmp_path / "out", workers=1, jobs=2, launcher=launcher)


@pytest.mark.parametrize(
    ("resource", "expected_text"),
    [
        ({"partition": "shrt"}, ("E750", "'shrt'", "did you mean 'short'", "short, idle")),
        ({"partition": "idle", "minutes": 10}, ("E750", "minutes=10", "idle", "5 minutes")),
        ({"cpus": 3}, ("E750", "cpus=3", "2 CPUs")),
        ({"cpus": 0}, ("E750", "cpus=0")),
        ({"minutes": 100}, ("E750", "minutes=100", "60 minutes")),
        ({"minutes": 1}, ("E750", "minutes=1", "90 s")),
        ({"nodes": 2}, ("E110", "'nodes'")),
        ({"gpus": 1}, ("E750", "gpus=1", "no GPUs")),
        ({"memory_gb": 100}, ("E750", "memory_gb=100", "4000 MB")),
        ({"options": {"constraint": "a100"}}, ("E750", "a100")),
    ],
)
def test_what_the_cluster_does_not_have_is_said_before_anything_is_queued(
    cluster, given, tmp_path, monkeypatch, resource, expected_text
):
    monkeypatch.setenv("SLURM_CONF", cluster["SLURM_CONF"])
    study, data = given
    with refuses(*expected_text):
        api.run_study(study, data, tmp_path / "out", jobs=TASKS, launcher={"name": "slurm", **resource})
    assert not queued(cluster)
    assert not (tmp_path / "out").exists()


def test_a_refusal_is_one_line_of_the_command(cluster, given, tmp_path):
    done = microexpr(cluster, *on_slurm(given, tmp_path / "out", TASKS, "--resource", "cpus=3"))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"microexpr: E750: .*cpus=3.*\n", done.stderr)


def test_drained_nodes_are_waited_for_unless_they_are_too_small(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster["SLURM_CONF"])
    ask(cluster, "scontrol", "update", "NodeName=n1,n2", "State=DRAIN", "Reason=test")
    Slurm().check(TASKS, [tmp_path])
    with refuses("E750", "cpus=3", kind=LauncherError):
        Slurm(cpus=3).check(TASKS, [tmp_path])


def test_a_folder_that_other_nodes_cannot_see_is_refused(tmp_path_factory, tmp_path, monkeypatch):
    further = (
        "NodeName=far NodeHostname=far.example NodeAddr=127.0.0.9 Port=29999 CPUs=2 RealMemory=4000\n"
        "PartitionName=far Nodes=n1,far"
    )
    with slurm.cluster(tmp_path_factory.mktemp("far"), further) as env:
        monkeypatch.setenv("SLURM_CONF", env["SLURM_CONF"])
        with refuses("E750", tmp_path, "far.example", "shared=true", kind=LauncherError):
            Slurm(partition="far").check(2, [tmp_path])
        Slurm(partition="far", shared=True).check(2, [tmp_path])
        Slurm().check(2, [tmp_path])  # all nodes of that partition are this machine


def test_without_slurm_the_message_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with refuses("E750", "sbatch", "login node", kind=LauncherError):
        Slurm().check(2, [tmp_path])


def test_without_an_answer_the_message_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    monkeypatch.setattr("microexpr.components.launchers.slurm.ANSWER", 0.5)
    with refuses("E750", "does not answer", kind=LauncherError):
        Slurm().check(2, [tmp_path])
