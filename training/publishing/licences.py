"""Licence of a checkpoint's weights, from the weights it was fine-tuned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emotion_hub.errors import PublishError
from training.publishing.checkpoint_files import record_of

__all__ = [
    "KNOWN_FILES",
    "KnownWeights",
    "Start",
    "check_start",
    "known_starts",
    "licence_line",
    "licence_of",
    "licence_text",
]


@dataclass(frozen=True)
class KnownWeights:
    """Published weights under Apache-2.0 from which checkpoints started, and the data they were trained on."""

    authors: str
    data: str
    base_model: str | None = None

    def __str__(self) -> str:
        return f"the {self.data} weights of {self.authors}"


_CORAL_V1 = KnownWeights("google-coral's MobileNetV1", "ImageNet")
_CORAL_V2 = KnownWeights("google-coral's MobileNetV2", "ImageNet")
_FACES_V1 = KnownWeights("HSE_FaceRec's MobileNetV1", "VGGFace2")
_TIMM_V1 = KnownWeights("timm's mobilenetv1_100", "ImageNet", "timm/mobilenetv1_100.ra4_e3600_r224_in1k")
_TIMM_V2 = KnownWeights("timm's mobilenetv2_100", "ImageNet", "timm/mobilenetv2_100.ra_in1k")

#: By the SHA-256 of the file, and by network and `init` for records that name no file.
KNOWN_FILES = {
    "4257da9bb655247eb469b858fd650096ca1df809607874e6bd17fa96a0b34e36": _CORAL_V1,
    "04a8bf0bc574a219ca672dcf3512053914b1debf26ff8bd0dea02cb24ae4fea8": _CORAL_V2,
    "bb2c6d665a258f07d3fcb103904c4256a44effbbf0b4121f53c5a9ba0394c68c": _FACES_V1,
}
_KNOWN_STARTS = {
    ("mobilenetv1_224", "pretrained"): _TIMM_V1,
    ("mobilenetv1_48", "pretrained"): _TIMM_V1,
    ("mobilenetv2_224", "pretrained"): _TIMM_V2,
    ("mobilenetv2_224", "torchvision-mobilenetv2"): _CORAL_V2,
}


@dataclass(frozen=True)
class Start:
    """Facts on a checkpoint that only its author knows.

    `licence` is that of its weights, an identifier of the Hub. `source` states whose weights they were fine-tuned
    from, and under which terms.
    """

    licence: str
    source: str

    def __post_init__(self) -> None:
        for name, value in (("--licence", self.licence), ("--start-source", self.source)):
            if not value.strip():
                raise PublishError(f"{name} is empty; a card must state whether the weights may be used")


def licence_text(folders: Mapping[str, Path], start: Start | None = None) -> str:
    """The sentence of a card on the licence of code and weights."""
    if start is not None:
        return f"Code: MIT. Weights: {start.licence}. They were fine-tuned from other weights: {start.source.strip()}\n"
    kept = {name: sources for name, folder in folders.items() if (sources := known_starts(folder))}
    if not kept:
        return "Code and weights: MIT."
    names = " and ".join(f"`{name}`" for name in kept)
    origins = " and ".join(dict.fromkeys(str(source) for sources in kept.values() for source in sources))
    return f"Code and weights: MIT, except {names}: fine-tuned from {origins}, under their Apache-2.0 licence."


def licence_line(folder: Path, start: Start | None = None) -> str:
    """The licences of one checkpoint's weights and code in a line."""
    if start is not None:
        return f"{start.licence} for the weights, MIT for the code"
    if sources := known_starts(folder):
        return f"Apache-2.0 for the weights, as for {' and '.join(map(str, sources))} before; MIT for the code"
    return "MIT for weights and code"


def licence_of(folder: Path, start: Start | None = None) -> str:
    """The licence of the weights, an identifier of the Hub.

    It is that of `start`, Apache-2.0 for weights fine-tuned from such, and MIT otherwise.
    """
    if start is not None:
        return start.licence
    return "apache-2.0" if known_starts(folder) else "mit"


def known_starts(folder: Path) -> list[KnownWeights]:
    """The published weights that the checkpoint's stages started from; empty for random and for unknown weights."""
    return list(dict.fromkeys(source for _, source in _starts(folder) if source))


def check_start(folder: Path, start: Start | None) -> None:
    """Raises PublishError for weights that started from others of unknown licence, unless `start` states it."""
    if start is None and (unknown := [what for what, source in _starts(folder) if not source]):
        raise PublishError(
            f"{folder.name} started from {' and '.join(unknown)}, whose licence is unknown and may forbid what MIT "
            "allows; give the licence of its weights with --licence, and the origin and terms of the weights it "
            "started from with --start-source"
        )


def _starts(folder: Path) -> list[tuple[str, KnownWeights | None]]:
    """The name in the record and the origin of the weights that each stage started from.

    Stages from random weights and from earlier runs are left out. The origin is None if the weights are unknown.
    """
    stages = record_of(folder)["stages"]
    starts: list[tuple[str, KnownWeights | None]] = []
    for stage in [stage for stage in stages if "average" not in stage] or stages:  # a mean repeats its parts' recipe
        init, model, file = stage["recipe"]["init"], stage["recipe"]["model"], stage.get("init")
        if init not in (None, "checkpoint"):
            if file:
                starts.append((f"{file['name']} (SHA-256 {file['sha256'][:8]}…)", KNOWN_FILES.get(file["sha256"])))
            else:
                starts.append((f"{init!r} weights for {model}", _KNOWN_STARTS.get((model, init))))
    return starts
