"""Add a component in one file: a sampler of frames evenly spaced from onset to offset, for clips without coded apex.

    python examples/add_a_sampler.py

There are three ways to make a component available by name. Register it in the script that uses it, as here. Put the
file into `src/microexpr/components/sampling/`, where it is found automatically and can be named in study files. Or
distribute it in your own package with an entry point of the group `microexpr.sampling`, with the same effect.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field

import microexpr
from microexpr.core.errors import DataError
from microexpr.core.interfaces import View, samplers


@samplers.register("spaced")
@dataclass(frozen=True)
class Spaced:
    """`count` frames, evenly spaced from onset to offset, each as a separate view."""

    count: Annotated[int, Field(ge=1)] = 3

    uses_annotations: ClassVar[bool] = True
    """Onset and offset were coded by people."""

    @property
    def nominal(self) -> int:
        """The largest number of views per clip."""
        return self.count

    def __call__(self, clip: microexpr.Clip) -> Sequence[View]:
        if clip.onset is None or clip.offset is None:
            message = f'{clip.key}: a precomputed image has no onset and offset; use sampling = "image".'
            raise DataError("E451", message)
        spaced = np.linspace(clip.onset, clip.offset, self.count + 2)[1:-1].round().astype(int)
        return [(int(number),) for number in np.unique(spaced)]


def write_clips(folder: Path) -> None:
    """Write twelve clips of four subjects, in which a disc moves, and their manifest."""
    lines = ["dataset,subject,clip,emotion,frames,onset,apex,offset"]
    for subject in range(1, 5):
        for clip, emotion in enumerate(("happiness", "surprise", "disgust"), start=1):
            frames = folder / f"{subject}_{clip}"
            frames.mkdir(parents=True)
            for number in range(1, 10):
                move = 4 - abs(number - 5)
                centre = (24 + 4 * subject + move * (clip % 2), 32 + move * (clip // 2))
                image = cv2.circle(np.full((64, 64, 3), (90, 110, 130), np.uint8), centre, 12, (150, 170, 210), -1)
                cv2.imwrite(str(frames / f"img{number}.png"), image)
            lines.append(f"example,{subject},clip{clip},{emotion},{frames.name},1,5,9")
    (folder / "manifest.csv").write_text("\n".join(lines), "utf-8")


def main() -> None:
    recipe = microexpr.Experiment().with_values(
        {
            "datasets": "manifest",
            "labels": "as_given",
            "preprocessing": {"name": "m1", "size": 32},
            "sampling": {"name": "spaced", "count": 4},
            "model": "pca_svm",
            "protocol": "loso",
        }
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_clips(folder / "data")
        summary = microexpr.run_experiment(recipe, folder / "data", folder / "out").summary
    for label, sampling in summary.sampling.items():
        print(f"{label}: {sampling.per_clip:g} views per clip, {sampling.total} in total")
    print(f"{summary.score_title} {summary.cells[0].score:.3f}")


if __name__ == "__main__":
    main()
