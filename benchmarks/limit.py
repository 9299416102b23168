"""The machine's limit: its measured matrix-multiplication peak, and how near a network's arithmetic comes to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import in_turn
from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["flops", "matmul_peak", "share_of_peak"]


def matmul_peak(side: int = 2048, rounds: int = 4) -> dict[str, float]:
    """GFLOP/s (a multiply-add is two) of a float32 product of two `side`-square matrices, by numpy, torch and ONNX Runtime, all threads; the median run."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    x, y, session = torch.from_numpy(a), torch.from_numpy(b), _session()
    runs = {"numpy": lambda: a @ b, "torch": lambda: x @ y, "ONNX Runtime": lambda: session.run(None, {"a": a, "b": b})}
    return {name: 2 * side**3 / (ms / 1000) / 1e9 for name, ms in in_turn(runs, rounds, 4).items()}


def _session():
    import onnx

    from emotion_hub.onnx.runtime import onnxruntime

    kind = onnx.TensorProto.FLOAT
    tensors = [onnx.helper.make_tensor_value_info(name, kind, [None, None]) for name in ("a", "b", "c")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "product", tensors[:2], tensors[2:]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def flops(classifier: EmotionClassifier) -> int:
    """Floating-point operations of one face in convolutions and linear layers; a multiply-add is two."""
    config = classifier.config.preprocess
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        classifier(torch.zeros(1, config.channels, config.size, config.size))
    return counter.get_total_flops()


def share_of_peak(classifier: EmotionClassifier, faces_per_second: float, peak: dict[str, float]) -> dict[str, Any]:
    """GFLOP/s that `faces_per_second` mean, and their share of the highest peak."""
    work = flops(classifier)
    done = work * faces_per_second / 1e9
    return {"mflop_a_face": work / 1e6, "gflops": done, "share": done / max(peak.values())}
