"""Workers as tasks of a SLURM job array, through submitit.

submitit writes the script, starts the array and keeps the logs. Its own requeueing and its results are not used: a task
stops and requeues itself, and what it did is read from the store. Accounting (``sacct``) is not needed.
"""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from microexpr.core.errors import LauncherError, TimeIsUp, suggest
from microexpr.core.interfaces import Work, launchers
from microexpr.core.signals import raise_on

POLLS = (1.0, 10.0)
"""Seconds between two questions to SLURM: at first, and at most."""
COMMANDS = ("sbatch", "sinfo", "squeue", "scancel", "srun")
ANSWER = 60
"""Seconds after which SLURM counts as not answering."""
HELD = "launch_failed_requeued_held"
"""Why SLURM holds a task that a node could not start; such a task would wait for ever."""
LOCAL = {"btrfs", "ext2", "ext3", "ext4", "overlay", "tmpfs", "xfs", "zfs"}
"""File systems that no other machine can see."""


@launchers.register("slurm")
@dataclass(frozen=True)
class Slurm:
    """Tasks of a job array; the folders of data and results must be on a file system that all nodes share."""

    partition: str = ""
    """Empty: the cluster's default."""
    minutes: int = 60
    """Time limit of each task. Shortly before it, a task drops the fold that it is training and queues itself again."""
    cpus: int = 1
    """Of each task."""
    gpus: int = 0
    """Of each task."""
    memory_gb: float = 0.0
    """Of each task; 0: the cluster's default."""
    account: str = ""
    qos: str = ""
    at_once: int = 0
    """Tasks that run at the same time; 0: all."""
    warning: int = 90
    """Seconds before the time limit at which a task stops."""
    setup: tuple[str, ...] = ()
    """Lines of shell that each task begins with, such as "module load cuda"."""
    shared: bool = False
    """Whether the nodes see this machine's folders although their file system is that of one machine."""
    options: Mapping[str, Any] | None = None
    """Further options of sbatch, such as {"constraint" = "a100"}."""

    @property
    def cores(self) -> int | None:
        """Those of a task."""
        return self.cpus

    def check(self, workers: int, folders: Sequence[Path]) -> None:
        """Ask SLURM whether it would start the array, and whether its nodes see the folders."""
        self._check_values()
        if find_spec("submitit") is None:
            raise LauncherError("E750", 'the launcher slurm needs submitit: pip install "microexpr[slurm]".')
        if lacking := [name for name in COMMANDS if shutil.which(name) is None]:
            raise LauncherError(
                "E750",
                f"there is no {lacking[0]} on this machine: start the command on a login node of the SLURM cluster.",
            )
        partitions = self._partitions()
        self._check_folders(folders, partitions)
        limit = max((each.minutes for each in partitions.values()), default=math.inf)
        if self.minutes > limit and not self.qos:  # which may allow more; SLURM would queue the tasks and never run one
            raise LauncherError(
                "E750",
                f"minutes={self.minutes}: tasks in {' and '.join(partitions)} may take {limit:g} minutes at most.",
            )
        given = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, value in self._sbatch.items()
        ]
        try:
            _answer("sbatch", "--test-only", f"--array=0-{workers - 1}", *given, "--wrap=true")
        except LauncherError as error:
            # So asked, SLURM leaves out nodes that are down or drained; the array itself it would queue for them.
            if "node configuration is not available" in str(error) and any(
                node.cpus >= self.cpus and node.memory >= 1024 * self.memory_gb and (node.gpus or not self.gpus)
                for partition in partitions.values()
                for node in partition.nodes
            ):
                return
            raise self._refused(str(error), workers, partitions) from None

    def run(self, work: Work) -> Generator[None, None, None]:
        """Start the array and wait until no task of it is queued or running; to close it cancels them."""
        pause, longest = POLLS
        try:
            number = self._start(work)
            while _is_queued(number):
                until = time.monotonic() + pause
                while time.monotonic() < until:
                    yield
                    time.sleep(min(1.0, pause))
                pause = min(1.5 * pause, longest)
        finally:  # by name, since the array may have been queued although its number did not arrive
            _ask("scancel", f"--name={_name(work)}")

    def submit(self, work: Work) -> str:
        """Start the array and return its number."""
        return f"SLURM job {self._start(work)}"

    @property
    def _sbatch(self) -> dict[str, Any]:
        """Options of sbatch."""
        given = {
            "partition": self.partition,
            "time": self.minutes,
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus,
            "mem": f"{round(1024 * self.memory_gb)}M" if self.memory_gb else "",
            "account": self.account,
            "qos": self.qos,
        }
        return {name: value for name, value in given.items() if value} | dict(self.options or {})

    def _start(self, work: Work) -> str:
        import submitit

        executor = submitit.SlurmExecutor(folder=work.folder / "slurm")
        own = {"partition", "time", "cpus_per_task", "gpus_per_node", "mem", "account", "qos"}
        given = self._sbatch
        executor.update_parameters(
            job_name=_name(work),
            array_parallelism=self.at_once or work.workers,
            signal_delay_s=self.warning,
            setup=list(self.setup) or None,
            stderr_to_stdout=True,
            wckey=None,
            srun_args=[f"--cpus-per-task={self.cpus}"],  # since SLURM 22.05, srun does not take it from sbatch
            additional_parameters={"requeue": True} | {key: given[key] for key in given if key not in own},
            **{key: given[key] for key in given if key in own},
        )
        task = partial(_task, work.call, 60 * self.minutes - self.warning)
        try:
            jobs = executor.map_array(task, range(work.workers))
        except (submitit.core.utils.FailedJobError, OSError) as error:
            raise self._refused(str(error), work.workers, self._partitions()) from None
        return str(jobs[0].job_id).split("_")[0]

    def _refused(self, reason: str, workers: int, partitions: Mapping[str, _Partition]) -> LauncherError:
        """Return the error for a job array that SLURM does not accept."""
        names = ("partition", "minutes", "cpus", "gpus", "memory_gb", "account", "qos", "options")
        values = {name: getattr(self, name) for name in names}
        requested = ", ".join(f"{name}={value}" for name, value in values.items() if value)
        nodes = "; ".join(f"{name}: {' or '.join(map(str, each.nodes))}" for name, each in partitions.items())
        return LauncherError(
            "E750", f"SLURM refuses {workers} tasks (--jobs) with {requested}: {_reason(reason)}. Nodes of {nodes}."
        )

    def _partitions(self) -> dict[str, _Partition]:
        """Return the partitions that tasks may run in, by name; raises LauncherError for unknown ones."""
        known: dict[str, _Partition] = {}
        default = []
        for line in _answer("sinfo", "--noheader", "--exact", "--format=%P|%l|%c|%m|%G").splitlines():
            marked, limit, cpus, memory, gpus = line.split("|")
            name = marked.rstrip("*")
            if name != marked and name not in default:
                default.append(name)
            found = known.setdefault(name, _Partition(_minutes(limit)))
            found.nodes.append(_Node(int(cpus), int(memory), "" if gpus == "(null)" else gpus))
        names = str(self._sbatch["partition"]).split(",") if "partition" in self._sbatch else default or list(known)
        for name in names:
            if name not in known:
                raise LauncherError(
                    "E750", f"SLURM has no partition {name!r}{suggest(name, known)}. It has {', '.join(known)}."
                )
        return {name: known[name] for name in names}

    def _check_values(self) -> None:
        lowest = {"minutes": 1, "cpus": 1, "gpus": 0, "memory_gb": 0, "at_once": 0, "warning": 0}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise LauncherError("E750", f"{name}={getattr(self, name)}: it must be {least} or more.")
        if self.warning >= 60 * self.minutes:
            raise LauncherError(
                "E750",
                f"minutes={self.minutes}: tasks stop {self.warning} s before that limit and would do nothing. Set more "
                "minutes, or a shorter warning.",
            )

    def _check_folders(self, folders: Sequence[Path], partitions: Iterable[str]) -> None:
        """Raise LauncherError where a folder is on this machine's own disk and tasks would run on others."""
        names = _answer("sinfo", "--noheader", "--Node", "--format=%n", f"--partition={','.join(partitions)}")
        others = sorted(set(names.split()) - {platform.node(), platform.node().split(".")[0]})
        if self.shared or not others:
            return
        for folder in folders:
            if (kind := _file_system(folder)) in LOCAL:
                raise LauncherError(
                    "E750",
                    f"{folder} is on a disk of this machine ({kind}), which the nodes of the cluster ({others[0]}, for "
                    "example) cannot see. Use a folder on a file system that they share, or, if they see it all the "
                    "same, add --resource shared=true.",
                )


@dataclass(frozen=True)
class _Node:
    """What one kind of nodes has."""

    cpus: int
    memory: int
    """In MB."""
    gpus: str

    def __str__(self) -> str:
        return f"{self.cpus} CPUs, {self.memory} MB, {self.gpus or 'no GPUs'}"


@dataclass(frozen=True)
class _Partition:
    minutes: float
    """Time limit of its jobs."""
    nodes: list[_Node] = field(default_factory=list)


class _Stopped(BaseException):
    """SLURM signals a task long before its time limit: it must leave its node, and its fold does not take too long."""


def _task(call: Callable[[int], None], seconds: float, number: int) -> None:
    """Be one task of the array: stop before the time limit, after so many `seconds`, and queue again.

    A task also stops when it is cancelled.
    """
    began = time.monotonic()

    def stopped() -> BaseException:  # the signal of the time limit may be a minute early
        return TimeIsUp() if time.monotonic() - began > seconds / 2 else _Stopped()

    raise_on(signal.SIGTERM, lambda: SystemExit(128 + signal.SIGTERM))
    raise_on(signal.SIGUSR2, stopped)
    try:
        call(number)
    except (TimeIsUp, _Stopped):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        task = os.environ["SLURM_JOB_ID"]
        if "SLURM_ARRAY_JOB_ID" in os.environ:  # the last task has the number of the array, and all would be requeued
            task = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        subprocess.run(["scontrol", "requeue", task], check=True, timeout=ANSWER)
        time.sleep(ANSWER)  # until SLURM ends this process: submitit would store a result


def _name(work: Work) -> str:
    return f"microexpr-{work.name}"


def _ask(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Return what a command of SLURM answers, if it does."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, check=False)
    except subprocess.TimeoutExpired:
        return None


def _answer(*command: str) -> str:
    """Return what a command of SLURM prints; raises LauncherError with the reason if it fails."""
    if (done := _ask(*command)) is None:
        raise LauncherError("E750", f"SLURM does not answer: {command[0]} took more than {ANSWER} s.")
    if done.returncode:
        raise LauncherError("E750", _reason(done.stderr) or f"{command[0]} of SLURM failed.")
    return done.stdout


def _reason(text: str) -> str:
    """Return SLURM's reason in one line without the names of its programs."""
    programs = r"\b(sbatch|sinfo|slurm_\w+): |\berror: |allocation failure: |Batch job submission failed: "
    return " ".join(re.sub(programs, "", text).split()).rstrip(".")


def _is_queued(number: str) -> bool:
    """Whether a task of an array waits or runs; an unanswered question counts as yes."""
    done = _ask("squeue", "--noheader", f"--job={number}", "--format=%r")
    if done is None or done.returncode:
        return done is None or "Invalid job id" not in done.stderr
    return any(HELD not in reason.replace(" ", "_") for reason in done.stdout.splitlines())


def _minutes(limit: str) -> float:
    """Read a time limit of SLURM: [days-][[hours:]minutes:]seconds, or "infinite"."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return math.inf
    days, _, rest = limit.rpartition("-")
    hours, minutes, seconds = [0, 0, *map(int, rest.split(":"))][-3:]
    return 1440 * int(days or 0) + 60 * hours + minutes + seconds / 60


def _file_system(folder: Path) -> str:
    """Return the kind of the file system that a folder is on; "" where it cannot be found."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    except OSError:
        return ""
    kinds = {line.split()[1].replace("\\040", " "): line.split()[2] for line in lines}
    return next(
        (kinds[str(place)] for place in (folder.resolve(), *folder.resolve().parents) if str(place) in kinds), ""
    )
