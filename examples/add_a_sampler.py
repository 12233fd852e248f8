"""A new component in one file: frames spaced evenly from onset to offset, for clips whose apex nobody coded.

    python examples/add_a_sampler.py

There are three ways to make a component known by its name. Register it in the script that uses it, as here. Put the
file into `src/microexpr/components/sampling/`, where it is found by itself and can be named in study files. Or ship
it in a package of your own with an entry point of the group `microexpr.sampling`, with the same effect.
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
    """`count` frames, evenly spaced from onset to offset, each a view of its own."""

    count: Annotated[int, Field(ge=1)] = 3

    uses_annotations: ClassVar[bool] = True
    """Onset and offset are what coders marked."""

    @property
    def nominal(self) -> int:
        """Views a clip gives at most."""
        return self.count

    def __call__(self, clip: microexpr.Clip) -> Sequence[View]:
        if clip.onset is None or clip.offset is None:
            raise DataError("E401", f'{clip.key}: a ready image has no onset and offset; take sampling = "image".')
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
    for label, sampling in summary["sampling"].items():
        print(f"{label}: {sampling['per_clip']:g} views a clip, {sampling['total']} in all")
    print(f"macro-F1 {summary['cells'][0]['macro_f1']:.3f}")


if __name__ == "__main__":
    main()
