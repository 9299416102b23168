"""Code snippets of a model card: emotion_hub, transformers, ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

from emotion_hub.checkpoints import CONFIG_FILE

__all__ = ["embedded_usage", "repository_usage"]


def embedded_usage(name: str) -> str:
    """Markdown: the snippet for a checkpoint of the package."""
    return f"""```python
from emotion_hub import EmotionPredictor

for face in EmotionPredictor.from_pretrained("{name}").predict("photo.jpg"):
    print(face.label, round(face.confidence, 3), face.bbox)
```"""


def repository_usage(repo_id: str, folder: Path, timm: bool, package: str) -> str:
    """Markdown: snippets for emotion_hub, transformers and ONNX Runtime that print their output; the Endpoint handler.

    `timm` tells that the repository has timm's files instead of transformers' remote code. `package` is the
    requirement from which pip installs emotion_hub.
    """
    remote = "" if timm else ", trust_remote_code=True"
    notes = "The code in this repository is taken from emotion_hub's modules. The whole picture is used as the face."
    timm_code = ""
    if timm:
        notes = (
            "The two libraries below apply timm's preprocessing, which neither reduces a picture to 48 gray pixels nor "
            "pads it to a square. Give them a gray 48×48 face, as in training; other pictures get other probabilities "
            "than with emotion_hub."
        )
        timm_code = _timm_code(repo_id)
    return f"""## Use
With emotion_hub (`pip install "{package}"`), which detects the faces in a photo:

```python
from emotion_hub import EmotionPredictor

for face in EmotionPredictor.from_pretrained("{repo_id}").predict("photo.jpg"):  # ONNX Runtime, without torch
    print(face.label, round(face.confidence, 3), face.bbox)
```

Without emotion_hub:

{notes}

```python
from transformers import pipeline

answers = pipeline("image-classification", model="{repo_id}"{remote})("face.png", top_k=7)
for answer in answers:
    print(answer["label"], round(answer["score"], 3))
{timm_code}```

With ONNX Runtime, numpy and Pillow alone, for a picture of one face that is about square:

```python
{_onnx_code(repo_id, folder)}
```

`model.onnx` has the input `input`, float32 (N, channels, size, size), preprocessed as its metadata describe, and the
output `logits`. `handler.py` is the handler of an Inference Endpoint: it accepts bytes, or JSON
`{{"inputs": base64, "parameters": {{"top_k", "function_to_apply", "whole", "prediction_set"}}}}`, and returns
`[{{"label", "score"}}]`.
"""


def _onnx_code(repo_id: str, folder: Path) -> str:
    """Python: the preprocessing of `config.json` in a few lines, and the network in ONNX Runtime."""
    config = json.loads((folder / CONFIG_FILE).read_text())
    prep = config["preprocess"]
    size, channels = prep["size"], prep["channels"]
    face = prep["face_size"] or size
    upscale = f"\nface = face.resize(({size}, {size}), Image.{prep['upsample'].upper()})" if size != face else ""
    planes = f"np.stack([face] * {channels})" if channels > 1 else "np.expand_dims(face, 0)"
    mean, std = (_per_channel(prep[key]) for key in ("mean", "std"))
    return f"""import numpy as np
import onnxruntime
from huggingface_hub import hf_hub_download
from PIL import Image

face = Image.open("face.png").convert("L").resize(({face}, {face}), Image.{prep["resample"].upper()}){upscale}
pixels = ({planes} / 255 - {mean}) / {std}
session = onnxruntime.InferenceSession(hf_hub_download("{repo_id}", "model.onnx"))
logits = session.run(["logits"], {{"input": np.expand_dims(pixels, 0).astype(np.float32)}})[0][0]
probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
for label, prob in zip({config["labels"]}, probs):
    print(label, round(float(prob), 3))"""


def _per_channel(values: list[float]) -> str:
    """Python: one number where all channels have the same, else an array that fits (channels, size, size)."""
    return f"{values[0]:g}" if len(set(values)) == 1 else f"np.array({values}).reshape(-1, 1, 1)"


def _timm_code(repo_id: str) -> str:
    """Python: timm's network, its preprocessing, and the probabilities."""
    return f"""
import timm
from PIL import Image

network = timm.create_model("hf-hub:{repo_id}", pretrained=True).eval()
prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
probs = network(prepare(Image.open("face.png").convert("RGB")).unsqueeze(0)).softmax(-1)[0].tolist()
for label, prob in zip(network.pretrained_cfg["label_names"], probs):
    print(label, round(prob, 3))
"""
