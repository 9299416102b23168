"""Measure the speed and memory claims of the project's source reports.

The reports compare VGG16 on the native 48-pixel face with VGG16 on its 224-pixel upscale. They claim for 48
pixels 22 times less memory per image (and as many more images per batch), 8.6 times faster preprocessing, 16
times faster inference, 29 times fewer parameters and 5 to 10 times faster epochs. They claim for EnhancedCNN 97%
fewer parameters, 90% less memory and 75% less training time than VGG16, and less than 50 ms per image.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.timing import drawn_face, in_turn
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.preprocess import PREPROCESSING, Preprocessor

__all__ = ["NETWORKS", "claims", "compare", "peak_memory"]

NETWORKS = ("vgg16_48", "vgg16_224", "enhanced_cnn48", "emotion_cnn")


def compare(rounds: int = 3, batch: int = 16) -> dict[str, Any]:
    """Figures of each network, and milliseconds of each preprocessing.

    Per network: parameters, bytes of one input, milliseconds of one forward pass, images per second in training,
    and peak memory.
    """
    face = drawn_face().convert("L")
    networks: dict[str, dict[str, Any]] = {}
    for name in NETWORKS:
        classifier = EmotionClassifier(name).eval()
        config = classifier.config.preprocess
        shape = (config.channels, config.size, config.size)
        networks[name] = {
            "parameters": classifier.num_parameters,
            "weights_without_unused": _used_parameters(classifier),
            "input_bytes": 4 * int(np.prod(shape)),
            "training_images_per_second": _training_speed(name, batch),
            "training_memory_mb": peak_memory(name, batch) / 2**20,
        }
        del classifier
    prepare = {name: Preprocessor(PREPROCESSING[name]) for name in ("native48", "rgb48", "upscale224")}
    preparing = in_turn({name: partial(p, face) for name, p in prepare.items()}, rounds, 50)
    for name, row in networks.items():  # one network in memory at a time: VGG16 at 224 pixels takes half a gigabyte
        predictor = _predictor(name)
        pixels = predictor.preprocessor(face)[None]
        row["answer_ms"] = in_turn({"one": partial(predictor.backend.logits, pixels)}, rounds, 5)["one"]
    return {"networks": networks, "prepare_ms": preparing}


def _predictor(name: str) -> EmotionPredictor:
    from emotion_hub.backends import TorchBackend

    classifier = EmotionClassifier(name)
    return EmotionPredictor(TorchBackend(classifier, "cpu"), classifier.labels, classifier.preprocessor, name=name)


def _used_parameters(classifier: EmotionClassifier) -> int:
    """Number of weights that a forward pass uses.

    The claimed factor of 29 counts torchvision's own classifier of VGG16, which is not part of these networks.
    """
    pixels = torch.zeros(1, classifier.config.preprocess.channels, *[classifier.config.preprocess.size] * 2)
    classifier.zero_grad()
    classifier(pixels).sum().backward()
    return sum(p.numel() for p in classifier.parameters() if p.grad is not None)


def _training_speed(name: str, batch: int, steps: int = 3) -> float:
    """Images per second of forward pass, backward pass and SGD step in float32; the first step is not counted."""
    classifier, step = _training_step(name, batch)
    step()
    ms = in_turn({"step": step}, 1, steps)["step"]
    del classifier
    return 1000 * batch / ms


def _training_step(name: str, batch: int) -> tuple[EmotionClassifier, Callable[[], None]]:
    torch.manual_seed(0)
    classifier = EmotionClassifier(name).train()
    config = classifier.config.preprocess
    pixels = torch.randn(batch, config.channels, config.size, config.size)
    labels = torch.arange(batch) % 7
    optimizer = torch.optim.SGD(classifier.parameters(), lr=1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(pixels), labels).backward()
        optimizer.step()

    return classifier, step


def peak_memory(name: str, batch: int) -> int:
    """Bytes that two training steps add to a new process that has loaded torch.

    They are weights, gradients, momentum and activations.
    """
    code = f"from benchmarks.claims import _report_memory; _report_memory({name!r}, {batch})"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def _report_memory(name: str, batch: int) -> None:
    before = _peak_resident()
    _, step = _training_step(name, batch)
    step()
    step()
    print(_peak_resident() - before)


def _peak_resident() -> int:
    """The most bytes that this process has held; getrusage would also count the memory of its parent."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def claims(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Each claim with the measured value, and whether it holds: the claimed ratio or saving is reached."""
    nets, prepare = measured["networks"], measured["prepare_ms"]
    small, large, enhanced = nets["vgg16_48"], nets["vgg16_224"], nets["enhanced_cnn48"]
    rows = [
        ("memory per input, 48 against 224, three channels each", 22, large["input_bytes"] / small["input_bytes"]),
        ("memory per input, one channel at 48", 22, large["input_bytes"] / enhanced["input_bytes"]),
        ("memory of a training step of 16, VGG16 at 48", 22, large["training_memory_mb"] / small["training_memory_mb"]),
        ("preprocessing, native48 against upscale224", 8.6, prepare["upscale224"] / prepare["native48"]),
        ("inference, VGG16 at 48 against 224", 16, large["answer_ms"] / small["answer_ms"]),
        ("inference, EnhancedCNN at 48 against VGG16 at 224", 16, large["answer_ms"] / enhanced["answer_ms"]),
        ("parameters, VGG16 at 48 against 224", 29, large["weights_without_unused"] / small["weights_without_unused"]),
        (
            "training images per second, VGG16 at 48 against 224",
            5,
            small["training_images_per_second"] / large["training_images_per_second"],
        ),
    ]
    checked = [
        {"claim": what, "claimed": f"{claimed}×", "measured": f"{value:.1f}×", "holds": value >= 0.985 * claimed}
        for what, claimed, value in rows
    ]
    savings = [
        ("EnhancedCNN's parameters, less than VGG16's at 224", 0.97, 1 - enhanced["parameters"] / large["parameters"]),
        (
            "EnhancedCNN's memory in training, less than VGG16's at 224",
            0.90,
            1 - enhanced["training_memory_mb"] / large["training_memory_mb"],
        ),
        (
            "EnhancedCNN's training time, less than VGG16's at 224",
            0.75,
            1 - large["training_images_per_second"] / enhanced["training_images_per_second"],
        ),
    ]
    # the claimed 97% counts 123.6 million weights of VGG16 that are unused; of the used weights, less is saved
    checked += [
        {"claim": what, "claimed": f"{claimed:.0%}", "measured": f"{value:.1%}", "holds": value >= claimed}
        for what, claimed, value in savings
    ]
    slowest = enhanced["answer_ms"] + prepare["native48"]
    return [
        *checked,
        {
            "claim": "EnhancedCNN, milliseconds per image",
            "claimed": "< 50",
            "measured": f"{slowest:.1f}",
            "holds": slowest < 50,
        },
    ]
