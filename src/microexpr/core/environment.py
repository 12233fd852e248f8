"""The environment of a result: software, machine, kernels, threads. No names of hosts, users or paths."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("microexpr", "torch", "torchvision", "timm", "numpy", "scikit-learn", "opencv-python-headless", "dlib-bin")
KERNELS = ("numpy BLAS", "scipy BLAS", "numpy instructions", "torch instructions")
"""Properties that decide how sums and matrix products are rounded: if they differ, so do the results of training."""
UNKNOWN = "not known"
HERE = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """Return versions, processor, kernels, accelerator and thread count."""
    import torch

    metadata = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    metadata |= versions(PACKAGES)
    metadata["processor"] = processor()
    metadata |= _kernels()
    metadata["accelerator"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    metadata["threads"] = str(torch.get_num_threads())
    return metadata


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package."""
    return {name: _version(name) for name in packages}


_version = functools.cache(version)
"""Reading a package's metadata takes milliseconds, and every fold states its environment."""


@functools.cache
def package_digest() -> str:
    """Return a digest of the files of this package: code, templates, studies; what it computes depends on them."""
    found = hashlib.sha256()
    for file in sorted(file for file in HERE.rglob("*") if file.suffix != ".pyc" and file.is_file()):
        content = file.read_bytes()
        found.update(f"{file.relative_to(HERE).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def together(everything: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return several environments as one; different values are separated by " / ", missing ones are left out."""
    names = dict.fromkeys(name for metadata in everything for name in metadata)
    return {
        name: " / ".join(dict.fromkeys(metadata[name] for metadata in everything if name in metadata)) for name in names
    }


@functools.cache
def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def _kernels() -> Mapping[str, str]:
    """Return the BLAS libraries of numpy and scipy, their kernels, and the vector instructions in use."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    import_module("scipy.linalg")  # loads scipy's BLAS
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    metadata = {}
    for package in ("numpy", "scipy"):
        # If the wheels do not include BLAS, as in conda, both packages use the installed library.
        used = [each for each in blas if _wheel(each) == package] or [each for each in blas if not _wheel(each)]
        names = {f"{each['internal_api']} {each.get('architecture') or UNKNOWN}" for each in used}
        metadata[f"{package} BLAS"] = " / ".join(sorted(names)) or UNKNOWN
    vectors = np.show_config(mode="dicts")["SIMD Extensions"]
    metadata["numpy instructions"] = " ".join(vectors.get("found") or vectors["baseline"])
    return metadata | {"torch instructions": torch.backends.cpu.get_cpu_capability()}


def _wheel(library: Mapping[str, Any]) -> str:
    """Return the package whose wheel includes a library, "" for a library of the system."""
    *_, package, folder, _ = ("", "", *Path(library["filepath"]).parts)
    if folder == ".dylibs":  # on macOS: numpy/.dylibs
        return package
    return folder.removesuffix(".libs") if folder.endswith(".libs") else ""
