"""Worker for oarriaga's mini-Xception on faces that need no detection.

Faces are prepared as in its repository's demo: gray, 64×64 (bilinear), (x/255 - .5)·2. The demo calls `predict`;
the compiled graph and ONNX Runtime run the same weights faster. The fer package has the TFLite version. Run by
benchmarks/peers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx
from clock import cores, run

WEIGHTS = "oarriaga_fer2013_mini_XCEPTION.102-0.66.hdf5"
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def prepare(task: dict[str, Any]) -> dict[str, Callable[[bytes], str]]:
    """One variant per runtime."""
    model = tf.keras.models.load_model(Path(task["weights"]) / WEIGHTS, compile=False)
    graph = tf.function(
        lambda batch: model(batch, training=False), input_signature=[tf.TensorSpec((1, 64, 64, 1), tf.float32)]
    )
    return {
        "mini-Xception (Keras predict)": _labeller(lambda batch: model.predict(batch, verbose=0)),
        "mini-Xception (compiled TensorFlow graph)": _labeller(lambda batch: graph(batch).numpy()),
        "mini-Xception (ONNX Runtime)": _labeller(_onnx(graph)),
    }


def _labeller(probs: Callable[[np.ndarray], np.ndarray]) -> Callable[[bytes], str]:
    def label(png: bytes) -> str:
        gray = cv2.resize(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), (64, 64))
        batch = ((gray.astype(np.float32) / 255 - 0.5) * 2)[None, :, :, None]
        return LABELS[int(probs(batch)[0].argmax())]

    return label


def _onnx(graph: Any) -> Callable[[np.ndarray], np.ndarray]:
    content, _ = tf2onnx.convert.from_function(graph, input_signature=graph.input_signature, opset=17)
    session = onnxruntime.InferenceSession(content.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


if __name__ == "__main__":
    run(prepare, ("tensorflow-cpu", "keras", "onnxruntime", "numpy"), f"each runtime's default on {cores()} cores")
