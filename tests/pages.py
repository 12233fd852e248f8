"""A synthetic summary of a study, and a parser of the pages made from it."""

from __future__ import annotations

import base64
import struct
import zlib
from html.parser import HTMLParser
from itertools import product
from typing import Any

import numpy as np

from microexpr.config.published import load_published
from microexpr.report.page import ReportPaths
from microexpr.report.summary import FORMAT, StudySummary

CLASSES = ["others", "disgust", "happiness", "repression", "surprise", "sadness", "fear"]


LOSO = {
    "name": "loso",
    "title": "LOSO",
    "subject_independent": True,
    "folds": 12,
    "shared_subjects": 0,
    "test_subjects": 12,
}


TEST = [5, 4, 2, 2, 1, 1, 0]


NANO = {"vit_nano": "ViT nano", "poolformer_nano": "PoolFormer nano", "swin_nano": "Swin nano"}


FULL = {
    "vit_b32": "ViT-B/32",
    "swin_b": "Swin-B",
    "poolformer_m36": "PoolFormer-m36",
    "poolformer_m48": "PoolFormer-m48",
}


MIXING = {"vit": "global attention", "swin": "windowed attention", "poolformer": "attention-free pooling"}


def png() -> str:
    """Return a grey image of 60 x 16 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(range(40, 220, 3)) for _ in range(16))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 16, 8, 0, 0, 0, 0))
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    ).decode()


def make_cell(rng: np.random.Generator, skill: float) -> dict[str, Any]:
    """Return the scores of one cell whose confusion matrix was drawn at random."""
    k = len(CLASSES)
    confusion = np.zeros((k, k), dtype=int)
    for true, n in enumerate(TEST):
        for _ in range(n):
            confusion[true, true if rng.random() < skill else rng.integers(k - 1)] += 1
    hits, true_n, said_n = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    present = true_n > 0
    f1 = 2 * hits / np.maximum(true_n + said_n, 1)
    macro = float(f1[present].mean())
    train = min(0.99, macro + 0.2 + 0.3 * rng.random())
    tried = {"cross_entropy": macro + 0.1 * rng.random(), "focal": macro + 0.1 * rng.random()}
    accuracy = float(hits.sum() / true_n.sum())
    return {
        "loss": max(tried, key=lambda name: tried[name]),
        "loss_scores": tried,
        "score": macro,
        "macro_f1": macro,
        "ci_low": max(0.0, macro - 0.14),
        "ci_high": min(1.0, macro + 0.2),
        "scores": {
            "macro_f1": macro,
            "uf1": macro * 0.9,
            "uar": float((hits[present] / true_n[present]).mean()),
            "accuracy": accuracy,
        },
        "n_test": sum(TEST),
        "per_class_f1": {c: float(v) if n else None for c, v, n in zip(CLASSES, f1, TEST, strict=True)},
        "confusion": confusion.tolist(),
        "epochs_run": 18,
        "chosen_epoch": 12,
        "train_score": train,
        "val_score": min(train, macro + 0.05),
        "train_views": 72,
        "train_clips": 72.0,
        "train_subjects": 12.0,
        "seconds": 4.2,
    }


def make_curves(rng: np.random.Generator, where: dict[str, Any], cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the learning curves of both losses of one cell."""
    epochs = list(range(1, cell["epochs_run"] + 1))
    rise = 1 - np.exp(-np.array(epochs) / 5)
    return [
        {
            **where,
            "loss": loss,
            "fold": "holdout",
            "epoch": epochs,
            "train_loss": (1.9 - 1.5 * rise + 0.04 * rng.standard_normal(len(epochs))).tolist(),
            "val_loss": (1.9 - 0.6 * rise + 0.06 * rng.standard_normal(len(epochs))).tolist(),
            "train_score": (cell["train_score"] * rise).tolist(),
            "val_score": np.clip(cell["val_score"] * rise + 0.05 * rng.standard_normal(18), 0, 1).tolist(),
            "chosen_epoch": cell["chosen_epoch"],
            "chosen": loss == cell["loss"],
        }
        for loss in ("cross_entropy", "focal")
    ]


def make_summary(models: dict[str, str] = NANO, seed: int = 0) -> dict[str, Any]:
    """Return a summary such as a study writes, with seeded numbers."""
    rng = np.random.default_rng(seed)
    full = models is FULL
    cells, curves = [], []
    for m, s, model in product(("m1", "m2"), ("af", "kfs", "mfs"), models):
        where: dict[str, Any] = {"preprocessing": m, "sampling": s, "model": model}
        where["factors"] = dict(where)
        cell = make_cell(rng, 0.25 + 0.2 * (s == "mfs") + 0.1 * rng.random())
        cells.append({**where, "key": f"{rng.integers(2**60):016x}", **cell})
        curves += make_curves(rng, where, cell)
    sizes = {"m1": (384 if full else 96, 3), "m2": (224 if full else 64, 1)}
    guess = {
        "score": 0.128,
        "macro_f1": 0.128,
        "ci_low": 0.04,
        "ci_high": 0.25,
        "scores": {"macro_f1": 0.128, "uf1": 0.11, "uar": 0.14, "accuracy": 0.24},
    }
    total = [37, 24, 12, 10, 9, 3, 1]
    return {
        "format": FORMAT,
        "metric": "macro_f1",
        "name": "paper" if full else "demo",
        "title": "The preprocessing paradox, repeated" if full else "The paper's grid, small enough for two cores",
        "command": "microexpr study demo --data example --out out/demo",
        "version": "0.1.0",
        "created": "2026-11-22T14:00:00Z",
        "caveats": [
            {
                "code": "synthetic",
                "level": "warning",
                "line": "Synthetic faces: nothing here applies to real people.",
                "text": "Expressions are four times their natural size.",
            },
            {
                "code": "reduced",
                "level": "warning",
                "line": "Reduced: 96 clips, nano models, M1 at 96 and M2 at 64 pixels.",
            },
            {
                "code": "shared_subjects",
                "level": "warning",
                "line": "11 of the 12 test subjects are also in the training set.",
            },
            {"code": "random_weights", "level": "note", "line": "Random weights: nothing was pretrained."},
            {"code": "best_of", "level": "note", "line": "The best of 18 cells was selected on the test set."},
        ],
        "data": {
            "datasets": ["casme2"],
            "n_clips": 96,
            "n_subjects": 12,
            "classes": CLASSES,
            "counts": dict(zip(CLASSES, total, strict=True)),
            "parts": {
                "train": dict(zip(CLASSES, [28, 18, 9, 7, 7, 1, 1], strict=True)),
                "val": dict(zip(CLASSES, [4, 2, 1, 1, 1, 1, 0], strict=True)),
                "test": dict(zip(CLASSES, TEST, strict=True)),
            },
            "metadata": {"labels": "2014 (20140508)", "folder": "raw", "frames": "synthetic: no recordings of people"},
            "fingerprint": "3f0c9b" * 10 + "aa11",
            "corrections": ["04/EP12_01f: apex '/' read as 121 (middle of onset and offset)"],
            "skipped": [
                {
                    "where": "CASME2-coding.xlsx row 41",
                    "clip": "05/EP03_1",
                    "problem": "frame 87 is empty",
                    "fix": "copy it again",
                }
            ],
        },
        "protocol": {
            "name": "paper_holdout",
            "title": "the paper's hold-out",
            "subject_independent": False,
            "folds": 1,
            "shared_subjects": 11,
            "test_subjects": 12,
        },
        "preprocessing": {
            name: {
                "label": name.upper(),
                "description": {
                    "m1": "short side resized, then the centre cropped",
                    "m2": "dlib's box of every frame, 20 px wider on each side, cropped, resized, grey",
                }[name],
                "height": size,
                "width": size,
                "channels": ["r", "g", "b"][:channels] if channels == 3 else ["grey"],
                "values_per_image": size * size * channels,
                "face_centred": {"m1": 0.83, "m2": 1.0}[name],
                "box_jitter_px": {"m1": None, "m2": 6.31}[name],
                "n_frames": 1248,
                "n_searched": 1248,
            }
            for name, (size, channels) in sizes.items()
        },
        "sampling": {
            "af": {"label": "AF", "nominal": 1, "train": 72, "val": 10, "test": 15, "total": 97, "per_clip": 1.0},
            "kfs": {"label": "KFS", "nominal": 3, "train": 216, "val": 30, "test": 45, "total": 291, "per_clip": 3.0},
            "mfs": {
                "label": "MFS",
                "nominal": 13,
                "train": 921,
                "val": 127,
                "test": 190,
                "total": 1238,
                "per_clip": 12.79,
            },
        },
        "models": {
            name: {
                "label": label,
                "token_mixing": MIXING[name.split("_")[0]],
                "builds": [
                    {
                        "ensemble": 1,
                        "parameters": int(rng.integers(10**5, 10**8)),
                        "weights": "random",
                        "inputs": [[1, 96, 96, 3]],
                    }
                ],
            }
            for name, label in models.items()
        },
        "cells": cells,
        "baselines": {
            "majority": guess | {"score": 0.081, "macro_f1": 0.081, "ci_low": 0.05, "ci_high": 0.11, "n_test": 15},
            "guessing": guess | {"n_test": 15, "draws": 2000},
        },
        "named_cell": {
            "preprocessing": "m2",
            "sampling": "af",
            "model": next(iter(models)),
            "title": "a small CNN on face crops",
            "protocol": LOSO,
            "key": "0123456789abcdef",
            "score": 0.412,
            "macro_f1": 0.412,
            "ci_low": 0.31,
            "ci_high": 0.52,
            "interval_level": 0.95,
            "trained": {"folds": 12, "seeds": 1, "networks": True},
            "permutation_level": 0.187,
            "permutation_quantile": 0.95,
            "permutation_mean": 0.135,
            "p_value": 0.001,
            "permutations": 9999,
            "interval": "expanded percentile bootstrap",
            "interval_unit": "subject",
            "interval_resamples": 10000,
            "shuffled": 0.121,
            "confusion": [[TEST[at] if k == at else 0 for k in range(len(CLASSES))] for at in range(len(CLASSES))],
            "n_test": 96,
            "n_subjects": 12,
            "scores": {"macro_f1": 0.41, "uf1": 0.4, "uar": 0.41, "accuracy": 0.47},
        },
        "intervals": {"method": "percentile bootstrap", "unit": "clip", "n": 1000, "level": 0.95},
        "metrics": {
            "macro_f1": {
                "title": "macro-F1",
                "formula": "mean over classes of 2 TP / (2 TP + FP + FN)",
                "absent_classes": "classes without a true test clip are left out",
            },
            "uf1": {"title": "UF1", "formula": "macro-F1 of counts pooled over folds", "absent_classes": "as macro-F1"},
            "uar": {"title": "UAR", "formula": "mean over classes of TP / (TP + FN)", "absent_classes": "left out"},
            "accuracy": {"title": "accuracy", "formula": "right / all", "absent_classes": "does not matter"},
        },
        "curves": curves,
        "latency": [
            {
                "model": model,
                "height": size,
                "width": size,
                "channels": c,
                "steps": 1,
                "ensemble": 1,
                "parameters": 1000,
                "ms": float(2 + 8 * rng.random()),
                "fps": 180.0,
                "device": "AMD EPYC, 2 threads",
                "threads": 2,
                "repeats": 50,
            }
            for model in models
            for size, c in sizes.values()
        ],
        "choices": [
            {
                "choice": "crop of M1",
                "value": "short side to 96, then centre",
                "published": "“center-cropped raw frames at 384x384”",
                "default": True,
            },
            {"choice": "face box", "value": "every frame, HOG", "published": "“Dlib face detection”", "default": True},
            {"choice": "weights", "value": "random", "published": "ImageNet", "default": False},
        ],
        "environment": {
            "python": "3.11.2",
            "torch": "2.9.1",
            "device": "cpu",
            "cpu": "AMD EPYC",
            "threads": "2",
            "execution": "fold by fold",
        },
        "seeds": [0],
        "dataset_stats": {},
        "axes": {
            "preprocessing": {"part": "preprocessing", "levels": ["m1", "m2"]},
            "sampling": {"part": "sampling", "levels": ["af", "kfs", "mfs"]},
            "model": {"part": "model", "levels": list(models)},
        },
        "published": load_published("paper").model_dump(),
        "examples": [
            {"caption": "One clip (synthetic) as M1 and M2 show it at onset, apex and offset.", "png_base64": png()}
        ],
    }


class Page(HTMLParser):
    """The tags, text and unclosed tags of a page."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.prose: list[str] = []
        """The words outside tables."""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)
            if "table" not in self.open:
                self.prose.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def study(summary: dict[str, Any]) -> StudySummary:
    return StudySummary.model_validate(summary)


def read(paths: ReportPaths) -> Page:
    """Return the page, together with that of its details."""
    both = [paths.html, *([paths.details] if paths.details else [])]
    return Page("".join(path.read_text(encoding="utf-8") for path in both))


def few_cells() -> dict[str, Any]:
    """Return a summary of two cells that differ in their preprocessing."""
    summary = make_summary()
    for rows in ("cells", "curves"):
        summary[rows] = [row for row in summary[rows] if (row["sampling"], row["model"]) == ("af", "vit_nano")]
    return summary
