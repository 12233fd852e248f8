"""Studies on Ray clusters: of two nodes on loopback, one of which is killed in the middle, and of the study's own.

Processes are found by their working folder, which they inherit: other tests may use Ray at the same time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from microexpr.components.launchers.ray import RETRIES, Ray
from microexpr.core.errors import ConfigError, LauncherError
from microexpr.core.interfaces import launchers
from processes import LIMIT, ONE_THREAD, ended, killed_at_last
from study_files import SUBJECTS, lasting, write_study

pytest.importorskip("ray", reason="needs Ray: pip install 'microexpr[ray]'")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]
FOLDS = 4 * SUBJECTS
# Threads of a node must not matter: those of the launch count.
OF_NODES = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2"),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
CLUSTER = """
import json
import time

from ray.cluster_utils import Cluster

node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 10**8}
cluster = Cluster(initialize_head=True, head_node_args=node)
second = cluster.add_node(**node)
raylet = second.all_processes["raylet"][0].process.pid
print(json.dumps({"address": cluster.address, "raylet": raylet}), flush=True)
time.sleep(600)
"""


@contextmanager
def cluster_in(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a cluster of two nodes with one CPU each; yield its address, and the raylet of the second node."""
    with (folder / "cluster.log").open("w") as log:
        command = [sys.executable, "-c", CLUSTER]
        process = subprocess.Popen(command, cwd=folder, env=OF_NODES, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        yield found["address"], found["raylet"]
    finally:
        for pid in of_folder(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """The address of a cluster of two nodes, and the folder that its processes work in."""
    folder = tmp_path_factory.mktemp("standing")
    with cluster_in(folder) as (address, _):
        yield address, folder


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("given"), epochs=30)


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    (printed,) = ended(start(given, folder, folder / "out"))
    return lasting(folder / "out"), printed.replace(str(folder), "")


def start(given, folder: Path, out: Path, *more: object) -> subprocess.Popen[str]:
    """Start the study with `folder` as its working folder."""
    study, data = given
    words = ["study", study, "--data", data, "--out", out, "--workers", 1, "--quiet", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "microexpr", *map(str, words)],
        cwd=folder,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_on(address: str, given, folder: Path, out: Path, *more: object) -> subprocess.Popen[str]:
    where = ("--resource", f"address={address}") if address else ()
    return start(given, folder, out, "--launcher", "ray", "--jobs", 2, *where, *more)


def folds(out: Path) -> int:
    return len(list(out.glob("results/*/fold-*.views.parquet")))


def wait(until: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 180) -> None:
    """Wait until something is true, while a process runs."""
    end = time.monotonic() + seconds
    while not until():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


def of_folder(folder: Path) -> list[int]:
    """Return the processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended
            if place.readlink() == folder:
                found.append(int(place.parent.name))
    return found


def tasks(folder: Path) -> list[int]:
    """Return those of them that do a task of a study."""
    found = []
    for pid in of_folder(folder):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::microexpr"):
                found.append(pid)
    return found


def children(pid: int) -> list[int]:
    return [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]


def sessions(pids: list[int]) -> set[Path]:
    """Return the folders of the clusters that a study has started and these processes are of."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            found |= set(re.findall(rb"/tmp/ray-\w+", Path(f"/proc/{pid}/cmdline").read_bytes()))
    return {Path(os.fsdecode(place)) for place in found}


def listening(pids: list[int]) -> set[str]:
    """Return the addresses at which processes listen."""
    lines = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        line.split()[3].rpartition(":")[0]
        for line in lines
        if {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & set(pids)
    }


@pytest.mark.parametrize("killed", ["raylet and workers", "raylet"])
def test_a_study_survives_the_death_of_a_node(given, alone, tmp_path, killed):
    """Its results have the bytes of those of one process; workers without their raylet do not go on."""
    out, driver, nodes = tmp_path / "out", tmp_path / "driver", tmp_path / "nodes"
    driver.mkdir()
    nodes.mkdir()
    with cluster_in(nodes) as (address, raylet):
        process = start_on(address, given, driver, out)
        with killed_at_last(process):
            wait(lambda: folds(out) >= 3 and len(tasks(nodes)) == 2, process)
            before, workers = folds(out), children(raylet)
            assert set(workers) & set(tasks(nodes))
            for pid in (raylet, *(workers if killed != "raylet" else [])):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait(lambda: not set(workers) & set(tasks(nodes)), seconds=40)
            printed, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, errors
    assert before < FOLDS
    assert folds(out) == FOLDS
    assert (lasting(out), printed.replace(str(tmp_path), "")) == alone
    assert errors == ""


def test_two_studies_start_clusters_at_the_same_time(given, alone, tmp_path):
    """Their clusters listen on loopback only, keep others out and leave nothing behind."""
    seen, places = set(), set()
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    processes = [start(given, folder, folder / "out", "--launcher", "ray") for folder in folders]
    with killed_at_last(*processes):
        while any(process.poll() is None for process in processes):
            pids = [pid for folder in folders for pid in of_folder(folder)]
            seen |= listening(pids)
            places |= sessions(pids)
            time.sleep(0.3)
        for process, folder in zip(processes, folders, strict=True):
            printed, errors = process.communicate()
            assert (process.returncode, errors) == (0, "")
            assert (lasting(folder / "out"), printed.replace(str(folder), "")) == alone
    assert seen
    assert all(re.match(r"127\.|\[::1\]|\[::ffff:127\.", place) for place in seen)
    for folder in folders:
        assert of_folder(folder) == []
    assert len(places) == 2
    assert not any(place.exists() for place in places)


@pytest.mark.parametrize(
    ("own", "number"),
    [(True, signal.SIGINT), (True, signal.SIGKILL), (False, signal.SIGTERM), (False, signal.SIGKILL)],
)
def test_nothing_goes_on_when_the_command_is_ended(given, standing, tmp_path, own, number):
    address, folder = ("", tmp_path) if own else standing
    out = tmp_path / "out"
    process = start_on(address, given, tmp_path, out)
    with killed_at_last(process):
        wait(lambda: tasks(folder) and list(out.glob("results/*/fold-*")), process)
        places = sessions(of_folder(folder))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], errors
    if number != signal.SIGKILL:
        assert errors.strip() == "microexpr: interrupted; the same command continues where it stopped."
    wait(lambda: not tasks(folder), seconds=40)
    if own and number == signal.SIGKILL:  # agents of a node look after it once in a while, and nothing is tidied up
        for pid in of_folder(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for place in places:
            shutil.rmtree(place)
    elif own:
        assert places
        assert not any(place.exists() for place in places)
        assert not of_folder(tmp_path)
    assert folds(out) < FOLDS


OUT_OF_MEMORY = """
import sys
import time
from pathlib import Path

from microexpr.components.launchers.ray import Ray
from microexpr.core.types import Work

folder = Path(sys.argv[1])

def call(number):
    with (folder / "calls").open("a") as stream:
        stream.write("called\\n")
    time.sleep(100)

for _ in Ray().run(Work(call, 1, folder, "out")):
    pass
"""


def test_a_task_that_runs_out_of_memory_is_tried_again_a_few_times(tmp_path):
    """A node that has too little memory from the start ends every task; Ray's default is to try for ever."""
    process = subprocess.Popen(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)],
        cwd=tmp_path,
        env={**ONE_THREAD, "RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "1500"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended(process) == [""]
    assert 1 <= len((tmp_path / "calls").read_text().split()) <= 1 + RETRIES
    (line,) = (tmp_path / "ray-0.out").read_text().splitlines()
    assert "low on memory" in line


@pytest.mark.parametrize(
    ("settings", "expected_text"),
    [
        ({"address": "127.0.0.1:1"}, "no Ray cluster answers at 127.0.0.1:1"),
        ({"address": "nowhere.invalid:6379"}, "no Ray cluster answers at nowhere.invalid:6379"),
        ({"address": "ray://127.0.0.1:10001"}, "HOST:PORT"),
        ({"gpus": 80}, "no node of the Ray cluster has room for a task with 1 CPUs, 80 GPUs"),
        ({"cpus": 5000}, "no node of the Ray cluster has room for a task with 5000 CPUs"),
    ],
)
def test_what_cannot_run_is_said_at_once(tmp_path, settings, expected_text):
    """No cluster is started for it."""
    began = time.monotonic()
    with pytest.raises(LauncherError, match=re.escape(expected_text)):
        Ray(**settings).check(2, [tmp_path])
    assert time.monotonic() - began < 10


def test_a_server_that_is_no_ray_cluster_is_told_at_once(tmp_path):
    def answer(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(LauncherError, match="is no Ray cluster"):
            Ray(address=f"127.0.0.1:{server.getsockname()[1]}").check(2, [tmp_path])
        thread.join()


def test_a_setting_that_is_unknown_is_told():
    with pytest.raises(ConfigError, match=r"adress.*address"):
        launchers.build("ray", {"adress": "auto"})


def test_a_command_that_cannot_run_leaves_nothing_behind(given, standing, tmp_path):
    out = tmp_path / "out"
    errors = refused(start_on(standing[0], given, tmp_path, out, "--resource", "cpus=2"))
    assert "no node of the Ray cluster has room for a task with 2 CPUs" in errors
    assert "a node has 1 CPUs" in errors
    assert not out.exists()


def test_a_folder_that_a_node_cannot_see_is_named(given, standing, tmp_path):
    out = Path("/proc/self/cwd/out")  # nodes work in another folder
    assert f"cannot see {out}" in refused(start_on(standing[0], given, tmp_path, out))
    assert not (tmp_path / "out").exists()


def refused(process: subprocess.Popen[str]) -> str:
    """Return the one line with which a command ends soon."""
    with killed_at_last(process):
        printed, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert printed == ""
    assert len(errors.splitlines()) == 1
    return errors
