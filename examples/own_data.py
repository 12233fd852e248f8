"""Your own frame folders: write a manifest, train on all other subjects for each subject, print the scores.

    python examples/own_data.py DIR OUT

DIR holds SUBJECT/EMOTION-NAME/ folders of numbered pictures, DIR/anna/surprise-3/001.png for instance. Each folder is
taken as one clip from onset to offset, its middle picture as the apex: put your coders' frames there instead if you
have them. Without DIR the script draws a few pictures of its own, to show that it runs.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

import microexpr

COLUMNS = ["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"]

RECIPE = microexpr.Experiment().with_values(
    {
        "name": "own_data",
        "datasets": "manifest",
        "labels": "as_given",
        "preprocessing": {"name": "m1", "size": 32},  # faces in view: {"name": "m2", "size": 64}
        "sampling": "af",
        "model": "small_cnn",
        "loss": "cross_entropy",
        "protocol": "loso",
        "training.epochs": 10,
        "training.learning_rate": 3e-3,
        "training.batch": 8,
        "training.patience": 0,
    }
)


def write_manifest(folder: Path) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for clip in sorted(path for path in folder.glob("*/*-*") if path.is_dir()):
            numbers = sorted(int(picture.stem) for picture in clip.glob("*.png"))
            onset, apex, offset = numbers[0], numbers[len(numbers) // 2], numbers[-1]
            subject, emotion = clip.parent.name, clip.name.partition("-")[0]
            table.writerow(["mine", subject, clip.name, emotion, f"{subject}/{clip.name}", onset, apex, offset])


def draw_pictures(folder: Path) -> None:
    """Noise; in the middle picture of a clip lies a stripe, level or upright by its emotion."""
    rng = np.random.default_rng(0)
    for subject in ("anna", "ben", "carla", "dov"):
        for number in range(6):
            emotion = ("happiness", "surprise")[number % 2]
            clip = folder / subject / f"{emotion}-{number}"
            clip.mkdir(parents=True)
            for frame in range(1, 6):
                picture = rng.integers(90, 120, (48, 64, 3), dtype=np.uint8)
                if frame == 3:
                    stripe = picture[20:28] if emotion == "happiness" else picture[:, 28:36]
                    stripe += 90
                cv2.imwrite(str(clip / f"{frame:03d}.png"), picture)


def main(folder: Path, out: Path) -> None:
    write_manifest(folder)
    done = microexpr.run_experiment(RECIPE, folder, out)
    cell = done.summary["cells"][0]
    print(f"macro-F1 {cell['macro_f1']:.3f} [{cell['ci_low']:.3f}, {cell['ci_high']:.3f}], {cell['n_test']} clips")
    for emotion, score in cell["per_class_f1"].items():
        print(f"  F1 of {emotion}: {score:.3f}")
    print(f"report: {done.paths.html}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            draw_pictures(Path(temporary) / "data")
            main(Path(temporary) / "data", Path(temporary) / "out")
