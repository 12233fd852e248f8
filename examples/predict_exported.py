"""Predict a clip with an exported model and its runtime alone: neither microexpr nor torch is needed.

    python examples/predict_exported.py MODEL FRAME [FRAME ...]

MODEL is a folder written by `microexpr export`; the FRAMEs are the images of one view, as many as the card says (of a
model for single frames: the apex). Handles models whose frames are resized (`m1`, or `crop` without faces) and whose
input is pixels in colour or grey; for others, do the steps that the card names.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

if len(sys.argv) < 3:
    sys.exit(__doc__)
folder, files = Path(sys.argv[1]), sys.argv[2:]
card = json.loads((folder / "card.json").read_text("utf-8"))
exported, (count, height, width, channels) = card["exported"], card["view"]["shape"]
step, representation = (exported["steps"][name] for name in ("preprocessing", "representation"))
simple = step["name"] in ("m1", "crop") and step.get("crop") != "face" and step["centre"] == "resized"
if not simple or representation["name"] != "pixels" or channels not in (1, 3) or len(files) != count:
    sys.exit(f"this model takes {count} frame(s), prepared by {step}; see {folder / 'card.json'}")
view = []
for file in files:
    if (frame := cv2.imread(file)) is None:
        sys.exit(f"{file} is missing or no image")
    if step.get("crop") != "none":  # the largest central square
        side = min(frame.shape[:2])
        top, left = ((length - side) // 2 for length in frame.shape[:2])
        frame = frame[top : top + side, left : left + side]
    shrinks = frame.shape[0] * frame.shape[1] > height * width
    frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    frame = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2RGB)
    view.append(frame.reshape(height, width, channels).transpose(2, 0, 1))
batch = np.array([view], np.float32)  # view, time, channel, row, column
if exported["runtime"] == "openvino":
    import openvino

    core = openvino.Core()
    native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # elsewhere bf16 would be emulated
    hints = {"INFERENCE_PRECISION_HINT": "bf16" if native and exported["precision"] == "bf16" else "f32"}
    logits = core.compile_model(folder / "model.xml", "CPU", hints)([batch])["logits"][0]
else:
    import onnxruntime

    logits = onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"views": batch})[0][0]
odds = np.exp(logits - logits.max())
for share, name in sorted(zip(odds / odds.sum(), card["classes"], strict=True), reverse=True):
    print(f"{name} {share:.6f}")
print(card.get("licence", {}).get("caveat", ""))
