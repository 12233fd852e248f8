"""Build a study in Python that varies one factor at a time: what changes between M1 and M2?

    python examples/one_factor.py [OUT]

M1 and M2 differ in crop, resolution and colour at once. Here each factor is changed separately, starting from M1, on a
small synthetic database, and the scores are printed as a table. With twelve clips they have no meaning: the script only
shows how to build such a study.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import microexpr

M1 = {"name": "crop", "crop": "centre", "size": 64, "colour": "rgb"}
VARIANTS = {
    "M1": M1,
    "only the crop": {**M1, "crop": "face"},
    "only the size": {**M1, "size": 48},
    "only the colour": {**M1, "colour": "grey"},
    "M2": {"name": "crop", "crop": "face", "size": 48, "colour": "grey"},
}


def study() -> microexpr.Study:
    base = microexpr.Experiment().with_values(
        {
            "datasets": "casme2",
            "labels": "as_given",
            "sampling": "af",
            "model": "small_cnn",
            "loss": "cross_entropy",
            "protocol": "loso",
            "training.epochs": 4,
            "training.learning_rate": 1e-3,
            "training.patience": 0,
        }
    )
    return microexpr.Study(
        name="one_factor",
        title="From M1 to M2, one factor at a time",
        experiment=base,
        grid={"preprocessing": list(VARIANTS.values())},
        latency=False,
    )


def main(out: Path) -> None:
    microexpr.make_synthetic(out / "data", subjects=4, clips=12, emotions=("disgust", "surprise"), expression_size=4.0)
    done = microexpr.run_study(study(), out / "data", out)
    print(f"{'preprocessing':16} {done.summary.score_title:>8}  95 % interval")
    for name, cell in zip(VARIANTS, done.summary.cells, strict=True):
        print(f"{name:16} {cell.score:8.3f}  [{cell.ci_low:.3f}, {cell.ci_high:.3f}]")
    print(f"report: {done.paths.html}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
