"""What a result was made with: software, machine, threads. No names of hosts, users or paths."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("microexpr", "torch", "torchvision", "timm", "numpy", "scikit-learn", "opencv-python-headless", "dlib-bin")


def environment() -> dict[str, str]:
    """Return versions, processor, accelerator and thread count."""
    import torch

    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    facts |= {name: version(name) for name in PACKAGES}
    facts["processor"] = _processor()
    facts["accelerator"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    facts["threads"] = str(torch.get_num_threads())
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
