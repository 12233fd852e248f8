"""A small database of frames that a model can learn in seconds, and a rendered one with faces."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does
TESTS = Path(__file__).parent
EMOTIONS = ("happiness", "surprise", "disgust")
SIDE = 48
_Y, _X = np.mgrid[:SIDE, : SIDE + 16] // 6 % 2
STRIPES = (_Y, _X, _X ^ _Y)


def write_database(root: Path, subjects: int = 6, clips: int = 6, frames: int = 7) -> Path:
    """Frame folders whose middle frame is striped: level, upright or chequered tells the emotion."""
    rng = np.random.default_rng(0)
    rows = []
    for subject in range(subjects):
        for number in range(clips):
            label = (subject + number) % len(EMOTIONS)
            folder = root / f"s{subject}" / f"c{number}"
            folder.mkdir(parents=True)
            rows.append(["own", f"s{subject}", f"c{number}", EMOTIONS[label], f"s{subject}/c{number}", 1, 4, frames])
            for frame in range(1, frames + 1):
                picture = rng.integers(90, 120, (SIDE, SIDE + 16, 3), dtype=np.uint8)
                if frame == 4:
                    picture += (60 * STRIPES[label]).astype(np.uint8)[..., None]
                cv2.imwrite(str(folder / f"{frame}.png"), picture)
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"])
        writer.writerows(rows)
    return root


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects, sixteen clips of rendered faces in CASME II's layout."""
    from microexpr.components.datasets.synthetic import SyntheticSpec, make

    root = tmp_path_factory.mktemp("faces")
    make(root, SyntheticSpec(subjects=4, clips=16, emotions=("others", "disgust", "happiness"), expression_size=3.0))
    return root


@pytest.fixture
def experiment():
    """A recipe that learns the small database in seconds."""
    return recipe()


def recipe():
    from microexpr.config.experiment import Experiment

    return Experiment().with_values(
        {
            "datasets": "manifest",
            "labels": "as_given",
            "preprocessing": {"name": "m1", "size": 32},
            "sampling": "af",
            "model": "small_cnn",
            "loss": "cross_entropy",
            "protocol": "loso",
            "training.epochs": 12,
            "training.learning_rate": 3e-3,
            "training.batch": 8,
            "training.patience": 0,
        }
    )


@pytest.fixture(autouse=True)
def _quiet_libraries() -> None:
    # timm and torch warn of their own futures; our code's warnings stay errors.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(timm|torch)\.")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks: handing them out to threads costs more than it gives where cores are shared."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pretrained weights are at hand, and none can be fetched."""
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="9pt" viewBox="0 0 9 9"/>'


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make figures without turning them into bytes, which takes most of a report's time."""
    monkeypatch.setattr("microexpr.report.drawings.as_svg", lambda figure: DRAWING)
    monkeypatch.setattr("microexpr.report.drawings.as_pdf", lambda figure: b"%PDF")


@pytest.fixture(scope="module")
def no_figures() -> Iterator[None]:
    """The same for all tests of a file, with the reports of its shared fixtures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("microexpr.report.drawings.as_svg", lambda figure: DRAWING)
        patch.setattr("microexpr.report.drawings.as_pdf", lambda figure: b"%PDF")
        yield
