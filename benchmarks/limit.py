"""Matrix-multiplication peak of this machine, and a network's share of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import in_turn
from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["flops", "matmul_peak", "share_of_peak"]


def matmul_peak(side: int = 2048, rounds: int = 4) -> dict[str, float]:
    """GFLOP/s of a float32 product of two square matrices, with numpy, torch and ONNX Runtime, on all threads.

    A multiply-add counts as two operations. `side` is the side of the matrices; the median run counts.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    x, y, session = torch.from_numpy(a), torch.from_numpy(b), _session()
    runs: dict[str, Callable[[], object]] = {
        "numpy": lambda: a @ b,
        "torch": lambda: x @ y,
        "ONNX Runtime": lambda: session.run(None, {"a": a, "b": b}),
    }
    return {name: 2 * side**3 / (ms / 1000) / 1e9 for name, ms in in_turn(runs, rounds, 4).items()}


def _session() -> Any:
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
    """Floating-point operations of one face in convolutions and linear layers; a multiply-add counts as two."""
    config = classifier.config.preprocess
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        classifier(torch.zeros(1, config.channels, config.size, config.size))
    return counter.get_total_flops()


def share_of_peak(classifier: EmotionClassifier, faces_per_second: float, peak: dict[str, float]) -> dict[str, Any]:
    """GFLOP/s at `faces_per_second`, and their share of the highest peak."""
    per_face = flops(classifier)
    gflops = per_face * faces_per_second / 1e9
    return {"mflop_a_face": per_face / 1e6, "gflops": gflops, "share": gflops / max(peak.values())}
