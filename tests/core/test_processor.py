"""What the processor computes natively."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from microexpr.core.processor import native_bf16

CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(
    not CPUINFO.is_file() or "ATEN_CPU_CAPABILITY" in os.environ, reason="the system does not list what it can do"
)
def test_bfloat16_is_native_where_the_system_lists_it():
    flags = set(CPUINFO.read_text("utf-8").split())
    assert native_bf16() == bool(flags & {"avx512_bf16", "amx_bf16"})


def test_bfloat16_is_not_native_with_kernels_that_lack_it():
    code = "from microexpr.core.processor import native_bf16; print(native_bf16())"
    limited = os.environ | {"ATEN_CPU_CAPABILITY": "avx2"}
    answer = subprocess.run([sys.executable, "-c", code], env=limited, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
