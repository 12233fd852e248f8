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

import numpy as np
from pydantic import Field

import microexpr
from microexpr.core.errors import DataError
from microexpr.core.interfaces import View, datasets, samplers


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
            raise DataError(f'{clip.key}: a ready image has no onset and offset; take sampling = "image".')
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
        print(f"{label}: {sampling['per_clip']:g} views a clip, {sampling['total']} in all")
    print(f"macro-F1 {summary['cells'][0]['macro_f1']:.3f}")


if __name__ == "__main__":
    main()
