"""A SLURM cluster of two nodes on this machine: the daemons of Debian's slurm-wlm, for tests only. Needs root."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "setpriv")
WITHOUT = "needs root and slurm-wlm (apt-get install slurm-wlm)"
AVAILABLE = all(map(shutil.which, NEEDED)) and os.geteuid() == 0
NODES = ("n1", "n2")
READY = 60
"""Seconds until a daemon answers, and until the nodes are idle."""
END = 20
"""Seconds until jobs are cancelled, and until a daemon has ended."""
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is queued again waits until its credential has expired: 120 s by default.
AuthInfo=socket={munge}/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
# Nodes have the processors that are written here, not those that are found.
SlurmdParameters=config_overrides
# Daemons listen on loopback only.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
JobRequeue=1
KillWait=5
InactiveLimit=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=2 RealMemory=4000
{further}
PartitionName=short Nodes=n1,n2 Default=YES MaxTime=60 State=UP OverSubscribe=NO
PartitionName=idle Nodes=n1 MaxTime=5 State=UP
"""


@contextmanager
def cluster(folder: Path, further: str = "") -> Iterator[dict[str, str]]:
    """Start the cluster; yield the environment in which its commands find it. `further`: lines of slurm.conf."""
    with ExitStack() as stack:
        # Sockets have short names only, and the folders of pytest are closed to the user that munged runs as.
        munge = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="munge-")))
        stack.enter_context(_munged(munge))
        configuration = folder / "slurm.conf"
        port, port1, port2 = _free_ports(3)
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder, munge=munge, host=platform.node(), port=port, port1=port1, port2=port2, further=further
            )
        )
        env = {**os.environ, "SLURM_CONF": str(configuration)}
        (folder / "state").mkdir()
        stack.enter_context(_daemon("slurmctld", "-D", "-f", configuration))
        for node in NODES:
            (folder / f"spool-{node}").mkdir()
            stack.enter_context(_daemon("slurmd", "-D", "-N", node, "-f", configuration))
        stack.callback(cancel_all, env)
        _wait_until_idle(env, folder)
        yield env


def until(condition: Callable[[], object], what: str, seconds: float = READY) -> None:
    """Wait until a condition holds; if it does not, fail with `what` is wrong."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextmanager
def _daemon(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon, which ends with the block, or with this process if that is killed."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches pytest only
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _munged(folder: Path) -> Iterator[None]:
    """Start munged as its own user, with a key of its own."""
    user = pwd.getpwnam("munge")
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    folder.chmod(0o755)
    for place in (folder, key):
        os.chown(place, user.pw_uid, user.pw_gid)
    command = [
        f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "munged", "--foreground", "--force",
        f"--socket={folder / 'socket'}", f"--key-file={key}", f"--log-file={folder / 'log'}",
        f"--pid-file={folder / 'pid'}", f"--seed-file={folder / 'seed'}",
    ]  # fmt: skip
    with _daemon(*command) as process:
        until(lambda: (folder / "socket").exists() or process.poll() is not None, "munged does not start")
        assert process.poll() is None, "munged does not start"
        yield


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_idle(env: dict[str, str], folder: Path) -> None:
    def idle() -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%N %t"], env=env, capture_output=True, text=True, check=False
        )
        return {f"{node} idle" for node in NODES} <= set(done.stdout.splitlines())

    try:
        until(idle, "the nodes are not idle")
    except AssertionError as error:
        logs = "\n".join(f"{file.name}:\n{file.read_text()[-2000:]}" for file in folder.glob("*.log"))
        raise AssertionError(f"{error}\n{logs}") from None


def cancel_all(env: dict[str, str]) -> None:
    """Cancel what is queued, and wait for it: a task would outlive the daemon of its node."""
    end = time.monotonic() + END
    while time.monotonic() < end:
        subprocess.run(["scancel", "--user=root"], env=env, check=False, capture_output=True, timeout=END)
        left = subprocess.run(["squeue", "--noheader"], env=env, capture_output=True, text=True, check=False)
        if left.returncode == 0 and not left.stdout:
            return
        time.sleep(0.2)
