from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from microexpr.core import image as ops
from microexpr.core.clip import Clip
from microexpr.core.interfaces import preprocessors
from refusal import refuses

CLIP = Clip(dataset="d", subject_id="1", namespace="d", video="v", onset=1, apex=5, offset=9)


@dataclass
class Drawn:
    """Frames of 640x480 with a gradient, whose face box moves with the frame's number."""

    clip: Clip = CLIP
    channels: tuple[str, ...] = ("r", "g", "b")
    asked: list[int] = field(default_factory=list)

    def pixels(self, numbers):
        x, y = np.meshgrid(np.arange(640), np.arange(480))
        frame = np.stack([x * 255 / 640, y * 255 / 480, np.full(x.shape, 128)], axis=-1).astype(np.uint8)
        return np.stack([np.clip(frame.astype(int) + number, 0, 255).astype(np.uint8) for number in numbers])

    def boxes(self, numbers, detector):
        self.asked += numbers
        return np.array([[200 + 4 * number, 150, 400 + 4 * number, 350] for number in numbers], float)


def show(name, numbers=(1, 5, 9), frames=None, **params):
    return preprocessors.build(name, params)(frames or Drawn(), numbers)


def test_m1_shows_the_middle_square():
    shown = show("m1")
    assert shown.pixels.shape == (3, 384, 384, 3)
    assert shown.window.tolist() == [[80, 0, 560, 480]] * 3
    expected = cv2.resize(Drawn().pixels([5])[0][:, 80:560], (384, 384), interpolation=cv2.INTER_AREA)
    assert np.array_equal(shown.pixels[1], expected)


def test_m1_raw_cuts_without_resizing():
    shown = show("m1", centre="raw")
    assert shown.window[0].tolist() == [128, 48, 512, 432]
    assert np.array_equal(shown.pixels[0], Drawn().pixels([1])[0][48:432, 128:512])
    with refuses("E415", 500, "640x480"):
        show("m1", centre="raw", size=500)


def test_m2_shows_the_face_with_its_margin_in_grey():
    shown = show("m2")
    assert (shown.pixels.shape, shown.channels) == ((3, 224, 224, 1), ("grey",))
    assert shown.window.tolist() == [[184, 130, 424, 370], [200, 130, 440, 370], [216, 130, 456, 370]]
    cut = cv2.cvtColor(Drawn().pixels([5])[0][130:370, 200:440], cv2.COLOR_RGB2GRAY).astype(int)
    expected = cv2.resize(cut.astype(np.uint8), (224, 224), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.pixels[1, ..., 0].astype(int) - expected).max() <= 1  # grey after resizing, one rounding apart


@pytest.mark.parametrize(("box", "left"), [("onset", 184), ("median", 200)])
def test_one_box_for_the_whole_clip(box, left):
    frames = Drawn()
    shown = show("m2", frames=frames, box=box)
    assert shown.window[:, 0].tolist() == [left] * 3
    assert set(frames.asked) == ({1} if box == "onset" else set(range(1, 10)))


def test_a_box_past_the_border():
    clamped = show("m2", margin=160)
    assert clamped.window[0].tolist() == [44, 0, 564, 480]
    padded = show("m2", margin=160, border="pad", size=520, colour="rgb")
    assert padded.window[0].tolist() == [44, -10, 564, 510]
    assert (padded.pixels[0, :10] == 0).all()
    assert (padded.pixels[0, 10:40, :, 2] > 0).all()


def test_single_factors_between_m1_and_m2_change_one_thing():
    grey = show("crop", crop="centre", colour="grey")
    assert (grey.pixels.shape, grey.window.tolist()) == ((3, 384, 384, 1), show("m1").window.tolist())
    whole = show("crop", crop="none", size=224)
    assert (whole.pixels.shape, whole.window[0].tolist()) == ((3, 224, 224, 3), [0, 0, 640, 480])
    face = show("crop", crop="face", size=224, colour="grey")
    assert np.array_equal(face.pixels, show("m2").pixels)


@pytest.mark.parametrize(
    "params", [{"crop": crop, "box": box} for crop in ("none", "centre", "face") for box in ("frame", "median")]
)
def test_a_frame_never_depends_on_which_others_were_asked_for(params):
    together = show("crop", numbers=(1, 3, 5, 9), size=64, **params)
    alone = show("crop", numbers=(5,), size=64, **params)
    assert np.array_equal(together.pixels[2], alone.pixels[0])
    assert np.array_equal(together.window[2], alone.window[0])


def test_values_per_image_of_the_paper():
    assert show("m1", (1,)).pixels.size == 442_368
    assert show("m2", (1,)).pixels.size == 50_176


def test_grey_frames_stay_grey():
    class Grey(Drawn):
        def pixels(self, numbers):
            return super().pixels(numbers)[..., :1]

    assert show("m2", frames=Grey(channels=("grey",))).pixels.shape == (3, 224, 224, 1)


def test_cutting_outside_the_frame_is_black():
    frame = np.full((10, 10, 1), 7, np.uint8)
    assert ops.cut(frame, np.array([-2.0, 8, 3, 12])).tolist() == [
        [[0], [0], [7], [7], [7]],
        [[0], [0], [7], [7], [7]],
        [[0]] * 5,
        [[0]] * 5,
    ]
