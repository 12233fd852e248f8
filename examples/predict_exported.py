"""Predict a clip with an exported model and its runtime alone: neither microexpr nor torch is needed.

    python examples/predict_exported.py MODEL FRAME [FRAME ...]

MODEL is a folder written by `microexpr export`; the FRAMEs are the images of one view, as many as the card says (of a
model for single frames: the apex). Handles models whose frames are resized (`m1`, or `crop` without faces) and whose
input is pixels; for others, do the steps that the card names.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np


def prepared(file: str, step: dict, shape: list) -> np.ndarray:
    """Read a frame, cut out its largest central square, resize it and choose its colours: rows, columns, channels."""
    frame = cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB)
    if step.get("crop", "centre") == "centre":
        side = min(frame.shape[:2])
        top, left = ((length - side) // 2 for length in frame.shape[:2])
        frame = frame[top : top + side, left : left + side]
    shrinks = frame.shape[0] * frame.shape[1] > shape[1] * shape[2]
    frame = cv2.resize(frame, (shape[2], shape[1]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None] if shape[3] == 1 else frame


def main(folder: Path, files: list[str]) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    steps, shape = card["exported"]["steps"], card["view"]["shape"]
    step = steps["preprocessing"]
    simple = step["name"] in ("m1", "crop") and step.get("crop") != "face" and step["centre"] == "resized"
    simple &= steps["representation"]["name"] == "pixels"
    if not simple or len(files) != shape[0]:
        sys.exit(f"this model takes {shape[0]} frame(s), prepared by {step}; see {folder / 'card.json'}")
    view = np.stack([prepared(file, step, shape) for file in files]).transpose(0, 3, 1, 2)  # time, channel, row, column
    batch = view[None].astype(np.float32)
    if card["exported"]["runtime"] == "openvino":
        import openvino

        hints = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bf16": "bf16"}[card["exported"]["precision"]]}
        logits = openvino.Core().compile_model(folder / "model.xml", "CPU", hints)([batch])["logits"]
    else:
        import onnxruntime

        logits = onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"views": batch})[0]
    odds = np.exp(logits[0] - logits[0].max())
    for name, share in sorted(zip(card["classes"], odds / odds.sum(), strict=True), key=lambda pair: -pair[1]):
        print(f"{name} {share:.6f}")
    print(f"({card['licence']['caveat']})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:]) if len(sys.argv) > 2 else sys.exit(__doc__)
