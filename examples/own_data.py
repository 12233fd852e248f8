"""Use your own folders of frames: write a manifest, run leave-one-subject-out, print the scores.

    python examples/own_data.py DIR OUT

DIR holds SUBJECT/EMOTION-NAME/ folders of numbered images, for example DIR/anna/surprise-3/001.png. Each folder is
used as one clip from onset to offset, and its middle frame as the apex: replace these by coded frames if you have them.
Without DIR, the script generates a few images, to show that it runs.
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
        "preprocessing": {"name": "m1", "size": 32},  # for images of faces: {"name": "m2", "size": 64}
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
            numbers = sorted(int(image.stem) for image in clip.glob("*.png"))
            onset, apex, offset = numbers[0], numbers[len(numbers) // 2], numbers[-1]
            subject, emotion = clip.parent.name, clip.name.partition("-")[0]
            table.writerow(["mine", subject, clip.name, emotion, f"{subject}/{clip.name}", onset, apex, offset])


def generate_images(folder: Path) -> None:
    """Write images of noise; the middle frame of a clip has a horizontal or vertical stripe, by its emotion."""
    rng = np.random.default_rng(0)
    for subject in ("anna", "ben", "carla", "dov"):
        for number in range(6):
            emotion = ("happiness", "surprise")[number % 2]
            clip = folder / subject / f"{emotion}-{number}"
            clip.mkdir(parents=True)
            for frame in range(1, 6):
                image = rng.integers(90, 120, (48, 64, 3), dtype=np.uint8)
                if frame == 3:
                    stripe = image[20:28] if emotion == "happiness" else image[:, 28:36]
                    stripe += 90
                cv2.imwrite(str(clip / f"{frame:03d}.png"), image)


def main(folder: Path, out: Path) -> None:
    write_manifest(folder)
    done = microexpr.run_experiment(RECIPE, folder, out)
    cell = done.summary.cells[0]
    title = done.summary.score_title
    print(f"{title} {cell.score:.3f} [{cell.ci_low:.3f}, {cell.ci_high:.3f}], {cell.n_test} clips")
    for emotion, score in cell.per_class_f1.items():
        print(f"  F1 of {emotion}: {score:.3f}")
    print(f"report: {done.paths.html}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            generate_images(Path(temporary) / "data")
            main(Path(temporary) / "data", Path(temporary) / "out")
