"""How long the dear representations take on one core, and how good each kind of flow is; run by hand.

OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m slow -s tests/components/representation/test_speed_motion.py
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from films import Film, clip
from microexpr.components.datasets.synthetic import SyntheticSpec, face, plan, render
from microexpr.components.datasets.synthetic.motion import intensity, state
from microexpr.components.datasets.synthetic.rendering import _sources, stage
from microexpr.core import flow as motion
from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.interfaces import Frames, preprocessors, representations
from motions import pair

pytestmark = pytest.mark.slow
CLIP = Clip(dataset="d", subject_id="1", namespace="d", video="v", onset=1, apex=30, offset=64)
KINDS = [("dis", preset, finest) for preset in ("ultrafast", "fast", "medium") for finest in (0, 1, 2)]
KINDS += [("farneback", "medium", 2)]
if hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
    KINDS += [("tvl1", "medium", 2)]


@pytest.fixture(autouse=True)
def _one_core():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def milliseconds(function, *values, times=15):
    """The least processor time of a call, after one that does not count: others may use the machine."""
    function(*values)
    taken = []
    for _ in range(times):
        start = time.process_time()
        function(*values)
        taken.append(1000 * (time.process_time() - start))
    return min(taken)


@pytest.mark.parametrize("frames", [0, 10])
def test_lbp_top_of_64_frames(frames):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 128, 128, 1), np.uint8)
    view = Frames(pixels, ("grey",), np.zeros((64, 4)))
    took = milliseconds(representations.build("lbp_top", {"frames": frames}), view, tuple(range(1, 65)), CLIP)
    print(f"\nLBP-TOP of 64 frames 128x128, {f'TIM to {frames}' if frames else 'no TIM'}: {took:.0f} ms")
    assert took < 150


def faces() -> list[tuple[np.ndarray, np.ndarray]]:
    """Onset and apex of drawn faces with the sensor's noise, cut to 224x224, and the flow they were drawn with."""
    spec, made = SyntheticSpec(subjects=5, clips=10), []
    for planned in plan(spec):
        drawn = face(spec, planned.subject)
        prepared = stage(drawn, planned)
        back = [
            np.stack(_sources(prepared, state(spec, planned, n), np.float32(intensity(planned, n))), axis=-1)
            for n in (planned.onset, planned.peak)
        ]
        (x, y), half = np.add(drawn.person.centre, prepared.shift), drawn.person.half_width
        box = np.round([x - 0.9 * half, y - 0.9 * half, x + 0.9 * half, y + 0.9 * half])
        scale = 224 / (box[2] - box[0])
        frames = [render(drawn, planned, number) for number in (planned.onset, planned.peak)]
        greys = [ops.grey(ops.resize(ops.cut(frame, box), 224, 224))[..., 0] for frame in frames]
        made.append((np.stack(greys), ops.resize(ops.cut(back[0] - back[1], box), 224, 224) * scale))
    return made


def test_kinds_of_flow_side_by_side():
    """Of known sub-pixel motion: a fine and a soft texture, without and with noise, and drawn faces."""
    textures = {
        f"grain {grain}, noise {noise}": (pair(0.3, -0.2, 224, noise=noise, grain=grain), np.array([0.3, -0.2]))
        for grain in (1.5, 6.0)
        for noise in (0.0, 2.0)
    }
    drawn, took = faces(), {}
    still = float(np.mean([np.linalg.norm(truth, axis=-1).mean() for _, truth in drawn]))
    print(f"\nmean end-point error in pixels; the motion is 0.36 in textures and {still:.2f} in faces")
    for kind in KINDS:
        took[kind] = milliseconds(motion.flows, drawn[0][0], *kind)
        errors = {name: error(kind, *case) for name, case in textures.items()}
        errors["faces"] = float(np.mean([error(kind, *case) for case in drawn]))
        stated = ", ".join(f"{name}: {value:.3f}" for name, value in errors.items())
        name = f"{kind[0]} {kind[1]} finest {kind[2]}" if kind[0] == "dis" else kind[0]
        print(f"{name:26s} {took[kind]:5.1f} ms  {stated}")
        assert errors["grain 1.5, noise 0.0"] < 0.36
        assert errors["faces"] < still
    assert took["dis", "medium", 2] < 10
    assert took["dis", "ultrafast", 0] < 10


def error(kind: tuple[str, str, int], frames: np.ndarray, truth: np.ndarray) -> float:
    found = motion.flows(frames, *kind)[0]
    return float(np.linalg.norm((found - truth)[12:-12, 12:-12], axis=-1).mean())


def test_magnification_of_64_frames():
    shown = [pixels[..., None] for pixels in np.random.default_rng(0).integers(0, 256, (70, 128, 128), np.uint8)]
    evm = preprocessors.build("evm", {"of": "as_is"})
    film = Film(lambda number: shown[number], clip(onset=1, offset=64))
    took = milliseconds(evm, film, [1, 64], times=5)
    print(f"\nEVM of 64 frames 128x128, grey: {took:.0f} ms")
    assert took < 1000
