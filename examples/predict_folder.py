"""Predict folders of frames with a stored model, and print one line per clip.

    python examples/predict_folder.py MODEL DIR

MODEL is a folder written by `microexpr fit`; DIR holds a folder of numbered images for each clip. Such folders have no
annotated apex: the model's sampling must not need one (`clip`, `uniform`), or use the middle of the clip instead
(missing_apex = "middle"), as here. Without arguments, the script fits a model on a few synthetic faces and predicts
others.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import microexpr

EMOTIONS = ("disgust", "surprise")
EXPERIMENT = microexpr.Experiment().with_values(
    {
        "name": "predict_folder",
        "datasets": "casme2",
        "labels": "as_given",
        "preprocessing": {"name": "m1", "size": 48},
        "sampling": {"name": "kfs", "missing_apex": "middle"},
        "model": "small_cnn",
        "loss": "cross_entropy",
        "training.epochs": 12,
        "training.learning_rate": 3e-3,
        "training.batch": 8,
        "training.patience": 0,
    }
)


def make_model(folder: Path) -> Path:
    """Fit a small network on eight synthetic clips."""
    microexpr.make_synthetic(folder / "faces", subjects=4, clips=8, emotions=EMOTIONS, expression_size=4.0)
    microexpr.fit(EXPERIMENT, folder / "faces", folder / "model")
    return folder / "model"


def make_clips(folder: Path) -> Path:
    """Write the frames of two synthetic clips of people whom the model has not seen."""
    microexpr.make_synthetic(folder, subjects=2, clips=2, emotions=EMOTIONS, expression_size=4.0, seed=9)
    return next(path for path in sorted(folder.iterdir()) if path.is_dir())


def main(model: Path, clips: Path) -> None:
    pipeline = microexpr.load(model)
    print(f"{pipeline.experiment.model.label} for {', '.join(pipeline.classes)}; {pipeline.card['intended use']}")
    for row in pipeline.predict(clips).to_dict("records"):
        scores = ", ".join(f"{name} {row[f'p_{name}']:.2f}" for name in pipeline.classes)
        print(f"{row['key']}: {row['label'] or 'no prediction'} ({scores}) {row['notes']}".rstrip())


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(make_model(Path(temporary)), make_clips(Path(temporary) / "others"))
