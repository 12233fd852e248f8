"""Independent streams of random numbers, one for each purpose."""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(seed: int, role: str) -> np.random.Generator:
    """Return the generator for one role (``split``, ``training/<fold>`` ...); roles never share a stream."""
    stream = np.frombuffer(hashlib.sha256(role.encode()).digest()[:16], np.uint32)
    return np.random.default_rng([seed, *stream.tolist()])
