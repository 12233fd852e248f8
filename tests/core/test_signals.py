"""A signal that arrives at a bad moment still ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import signal
import sys
import time

from microexpr.core.signals import raise_on

raise_on(signal.SIGTERM, lambda: SystemExit(143))


class Slow:
    def __del__(self):
        print("here", flush=True)
        time.sleep(0.5)


{work}
time.sleep(30)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals end processes of Windows")
@pytest.mark.parametrize("work", ["print('here', flush=True)", "slow = Slow()\ndel slow"])
def test_a_signal_ends_a_process_even_within_a_destructor(work):
    """Python drops what is raised within a destructor."""
    command = [sys.executable, "-c", CODE.format(work=work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (143, "")
