"""Workers as tasks of a Ray cluster: one that runs already, or one that is started on this machine.

A cluster that is started here listens on loopback only, on ports that are free, admits only this process (by a token,
from Ray 2.52 on) and has no dashboard. What a task did is read from the store, never from Ray; a task that is lost with
its node is started again on another.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any

from microexpr.core.environment import versions
from microexpr.core.errors import LauncherError, MicroexprError
from microexpr.core.interfaces import Work, launchers

TICK = 0.5
RETRIES = 3
"""How often a task is started again whose process or node was lost, or that the node ended for lack of memory."""
ANSWER = 5.0
"""Seconds after which an address counts as not answering."""
PROBE = 60.0
"""Seconds after which a node that is asked whether it sees the folders counts as not answering."""
LOOPBACK = "127.0.0.1"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a client of gRPC says first: the preface of HTTP/2 and a frame of settings, to which the server's answer."""


@launchers.register("ray")
@dataclass(frozen=True)
class Ray:
    """Tasks of a Ray cluster; the folders of data and results must be on a file system that all nodes share."""

    address: str = ""
    """Of a running cluster, such as ``auto`` or ``10.0.0.1:6379``; empty: one is started on this machine."""
    cpus: int = 1
    """Of each task."""
    gpus: float = 0.0
    """Of each task; tasks may share one. 0: tasks do not use GPUs."""
    memory_gb: float = 0.0
    """Of each task; 0: not considered."""

    @property
    def cores(self) -> int | None:
        """Those of a task."""
        return self.cpus

    def check(self, workers: int, folders: Sequence[Path]) -> None:
        """See whether a node has room for a task, and whether every node sees the folders, of results and of data."""
        if find_spec("ray") is None:
            raise LauncherError("E750", 'the launcher ray needs Ray: pip install "microexpr[ray]".')
        if not self.address and not self.memory_gb:  # known without a cluster, whose start takes seconds
            self._check_room([_machine()])
            return
        with self._connected(workers) as ray:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            self._check_room([node["Resources"] for node in nodes])
            if self.address:
                self._check_nodes(ray, nodes, folders)

    def run(self, work: Work) -> Generator[None, None, None]:
        """Start the tasks and wait until all have ended; to close it cancels them."""
        with self._connected(work.workers) as ray:
            task = ray.remote(
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                memory=round(self.memory_gb * 2**30) or None,
                max_retries=RETRIES,
                name=f"microexpr-{work.name}",
            )(_call)
            call = ray.put(work.call)
            running = {task.remote(call, number): number for number in range(work.workers)}
            try:
                while running:
                    done, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
                    for each in done:
                        _log(ray, each, work.folder / f"ray-{running.pop(each)}.out")
                    yield
                    time.sleep(TICK)  # not in Ray, which turns an exit that a signal raises into one with code 1
            finally:
                for each in running:
                    ray.cancel(each, force=True)

    def submit(self, work: Work) -> str:
        """Raise LauncherError: tasks of Ray end with the process that started them."""
        raise LauncherError(
            "E751",
            "--detach: tasks of a Ray cluster end with the command that started them. Leave it out and start the "
            "command in tmux or with nohup, or as a job of the cluster: ray job submit -- microexpr study ...",
        )

    def _check_room(self, nodes: Sequence[Mapping[str, float]]) -> None:
        """Raise LauncherError if no node has the resources of a task."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_gb * 2**30}
        if not any(all(node.get(key, 0) >= value for key, value in wanted.items() if value) for node in nodes):
            most = {key: max((node.get(key, 0) for node in nodes), default=0) for key in wanted}
            of_memory = f" and {self.memory_gb:g} GB of memory" if self.memory_gb else ""
            and_has = f" and {most['memory'] / 2**30:.1f} GB of memory" if self.memory_gb else ""
            raise LauncherError(
                "E750",
                f"no node of the Ray cluster has room for a task with {self.cpus} CPUs, {self.gpus:g} GPUs{of_memory}; "
                f"at most, a node has {most['CPU']:g} CPUs, {most['GPU']:g} GPUs{and_has}.",
            )

    def _check_nodes(self, ray: Any, nodes: Sequence[Mapping[str, Any]], folders: Sequence[Path]) -> None:
        """Raise LauncherError unless every node has this package and sees the folders, the first the very same."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        places, here = [str(folder.absolute()) for folder in folders], _version()
        # A folder of the same name may be another one, in which results would never be found.
        with tempfile.NamedTemporaryFile(dir=places[0], prefix=".seen-") as mark:
            probe = ray.remote(num_cpus=0, max_retries=0)(_surveyed)
            asked = [
                probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                    {mark.name: places[0], **{place: place for place in places}}
                )
                for node in nodes
            ]
            for node, answer in zip(nodes, asked, strict=True):
                name = f"node {node['NodeManagerAddress']} ({node['NodeManagerHostname']}) of the Ray cluster"
                try:
                    version, hidden = ray.get(answer, timeout=PROBE)
                except ray.exceptions.RayError as error:
                    reason = _one_line(getattr(error, "cause", None) or error)
                    raise LauncherError("E750", f"{name} cannot run microexpr {here}: {reason}") from None
                if version != here:
                    raise LauncherError("E750", f"{name} has microexpr {version}, this machine {here}.")
                if hidden:
                    raise LauncherError(
                        "E750",
                        f"{name} cannot see {hidden[0]} of this machine: use folders on a file system that all nodes "
                        "share.",
                    )

    @contextmanager
    def _connected(self, workers: int) -> Iterator[Any]:
        """Be connected to the cluster; if there is no address, to one for so many tasks that ends with the block."""
        if self.address:
            _check_address(self.address)
        with ExitStack() as stack:
            # A node's own numbers of threads would change results in their last digits.
            env = {**dict.fromkeys(THREADS, str(self.cpus)), "OMP_WAIT_POLICY": "PASSIVE"}
            stack.enter_context(_environment({} if self.address else {**env, **_own()}))
            where = (
                {"address": self.address, "runtime_env": {"env_vars": env}}
                if self.address
                else stack.enter_context(_own_cluster(workers * self.cpus))  # whose processes inherit the environment
            )
            import ray

            before = signal.getsignal(signal.SIGTERM)
            stack.callback(ray.shutdown)  # of what was started before an error, too
            try:
                ray.init(**where, logging_level="error", log_to_driver=False, namespace="microexpr")
            except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
                what = f"cannot join the Ray cluster at {self.address}" if self.address else "Ray cannot be started"
                raise LauncherError("E750", f"{what}: {_one_line(error)}") from None
            except SystemExit:  # by Ray's own handler
                raise SystemExit(128 + signal.SIGTERM) from None
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, before)
            yield ray


def _own() -> dict[str, str]:
    """Return what the processes of an own cluster find in their environment."""
    found = {"RAY_worker_niceness": "0"}  # as processes of --launcher local
    if "RAY_AUTH_MODE" not in os.environ:
        found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}
    return found


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Set Ray up, and take it back."""
    kept = dict(os.environ)
    os.environ.update(
        # Ray moves from loopback to the host's address, and then to all interfaces, unless this is set.
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_DEDUP_LOGS_SKIP_REGEX=".",  # what it prints of lost nodes, even with log_to_driver=False
        RAY_task_oom_retries=str(RETRIES),  # by default, without limit
        **more,
    )
    _read_environment()
    try:
        yield
    finally:
        for name in os.environ.keys() - kept.keys():
            del os.environ[name]
        os.environ.update(kept)
        _read_environment()


def _read_environment() -> None:
    """Make Ray read the environment again: it keeps what it found when it was imported or used before."""
    from ray import _raylet as compiled
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") != "0"
    core: Any = compiled
    core.Config.initialize("")
    if hasattr(core, "AuthenticationTokenLoader"):  # from Ray 2.52 on
        core.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _own_cluster(cpus: int) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which Ray starts a cluster of this machine."""
    has = _machine()
    # Ray opens its folder to everyone, and paths of sockets have 107 characters at most.
    place = "/tmp" if os.name == "posix" else None
    with tempfile.TemporaryDirectory(prefix="ray-", dir=place, ignore_cleanup_errors=True) as folder:
        yield {
            "address": "local",
            "num_cpus": min(cpus, has["CPU"]),  # it starts a process for each
            "num_gpus": has["GPU"],
            "include_dashboard": False,
            "_node_ip_address": LOOPBACK,
            "_temp_dir": str(Path(folder) / "ray"),
        }


def _machine() -> dict[str, int]:
    """Return the resources of this machine, in Ray's words."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"CPU": cores, "GPU": torch.cuda.device_count()}


def _check_address(address: str) -> None:
    """Raise LauncherError if no server of gRPC answers: Ray itself tries for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise LauncherError(
            "E750", f"address = {address!r}: write HOST:PORT, such as 10.0.0.1:6379, or auto on a node of the cluster."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(len(HELLO))
    except (OSError, OverflowError) as error:
        raise LauncherError("E750", f"no Ray cluster answers at {address}: {_one_line(error)}") from None
    if answer[3:4] != b"\x04" and os.environ.get("RAY_USE_TLS") != "1":
        raise LauncherError("E750", f"what answers at {address} is no Ray cluster.")


def _call(call: Callable[[int], None], number: int) -> None:
    """Be one task."""
    call(number)


def _version() -> str:
    return versions(["microexpr"])["microexpr"]


def _surveyed(places: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return this node's version of microexpr, and which folders it cannot see."""
    return _version(), [folder for place, folder in places.items() if not Path(place).exists()]


def _log(ray: Any, task: Any, file: Path) -> None:
    """Write down why a task failed, and raise what a user can fix; the store says what is left."""
    try:
        ray.get(task)
    except ray.exceptions.RayError as error:
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = str(error).splitlines()
        # Beyond its first line, Ray's own report of a lost worker lists processes of other users.
        file.write_text("\n".join(lines if isinstance(error, ray.exceptions.RayTaskError) else lines[:1]), "utf-8")
        cause = getattr(error, "cause", None)
        if isinstance(cause, MicroexprError):
            raise cause from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
