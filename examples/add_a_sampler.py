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

import numpy as np
from pydantic import Field

import microexpr
from microexpr.core.errors import DataError
from microexpr.core.interfaces import View, datasets, samplers


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
        datasets.get("manifest").write_example(folder / "data")
        summary = microexpr.run_experiment(recipe, folder / "data", folder / "out").summary
    for label, sampling in summary["sampling"].items():
        print(f"{label}: {sampling['per_clip']:g} views per clip, {sampling['total']} in total")
    print(f"macro-F1 {summary['cells'][0]['macro_f1']:.3f}")


if __name__ == "__main__":
    main()
