"""What is recorded of software and machine, above all the kernels that decide how sums round."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
import threadpoolctl

from microexpr.core import environment as environments
from microexpr.core.environment import KERNELS, environment, together

WHEELS = "/usr/lib/python3.11/site-packages"


def blas(path: str, architecture: str | None = "Haswell", api: str = "openblas") -> dict[str, object]:
    return {"user_api": "blas", "internal_api": api, "filepath": path, "architecture": architecture}


def test_kernels_in_use_are_recorded():
    metadata = environment()
    assert all(metadata[name] for name in KERNELS)
    assert "/" not in "".join(metadata[name] for name in KERNELS)  # and no path


@pytest.mark.parametrize("kernel", ["Haswell", "Nehalem"])
def test_another_kernel_is_recorded_as_another(kernel):
    if platform.machine() != "x86_64" or not environment()["numpy BLAS"].startswith("openblas"):
        pytest.skip("this processor or this numpy has other kernels")
    code = "import json; from microexpr.core.environment import environment; print(json.dumps(environment()))"
    chosen = {"OPENBLAS_CORETYPE": kernel, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | chosen, capture_output=True, text=True, check=True
    )
    metadata = json.loads(done.stdout)
    expected = {"numpy BLAS": f"openblas {kernel}", "scipy BLAS": f"openblas {kernel}", "torch instructions": "DEFAULT"}
    assert expected.items() <= metadata.items()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            [
                blas(f"{WHEELS}/opencv_python_headless.libs/libopenblasp.so", "Zen"),
                blas(f"{WHEELS}/numpy.libs/libscipy_openblas64.so", "SkylakeX"),
                blas(f"{WHEELS}/scipy.libs/libscipy_openblas.so", "Haswell"),
            ],
            ("openblas SkylakeX", "openblas Haswell"),
        ),
        (
            [
                blas("/x/numpy/.dylibs/libscipy_openblas64.dylib", "neoversen1"),
                blas("/x/scipy/.dylibs/libscipy_openblas.dylib", "armv8"),
            ],
            ("openblas neoversen1", "openblas armv8"),
        ),
        ([blas("/opt/conda/lib/libopenblasp.so")], ("openblas Haswell", "openblas Haswell")),
        ([blas("/opt/conda/lib/libmkl_rt.so.2", None, "mkl")], ("mkl not known", "mkl not known")),
        ([blas(f"{WHEELS}/opencv_python_headless.libs/libopenblasp.so")], ("not known", "not known")),
    ],
)
def test_the_library_is_the_packages_own_or_the_one_beside_it(found, expected, monkeypatch):
    others = {"user_api": "openmp", "internal_api": "openmp", "filepath": "/usr/lib/libgomp.so"}
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [others, *found])
    monkeypatch.setattr(environments, "_kernels", environments._kernels.__wrapped__)  # each time anew
    metadata = environment()
    assert (metadata["numpy BLAS"], metadata["scipy BLAS"]) == expected


def test_environments_that_differ_stand_side_by_side_and_older_ones_may_lack_a_fact():
    old, new = {"torch": "2.9", "threads": "1"}, {"torch": "2.9", "numpy BLAS": "openblas Zen", "threads": "2"}
    assert together([old, new, new]) == {"torch": "2.9", "threads": "1 / 2", "numpy BLAS": "openblas Zen"}
    assert together([new, old])["numpy BLAS"] == "openblas Zen"
    assert together([]) == {}
