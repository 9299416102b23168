"""Licence of a checkpoint's weights, from the weights it was fine-tuned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emotion_hub.errors import PublishError
from training.publishing.checkpoint_files import record_of

__all__ = ["Start", "apache_source", "check_start", "licence_of", "licence_text"]

#: Authors of the ImageNet weights under Apache-2.0, by the SHA-256 of the file, and by network and `init` for records
#: that name no file.
APACHE_FILES = {
    "4257da9bb655247eb469b858fd650096ca1df809607874e6bd17fa96a0b34e36": "google-coral's MobileNetV1",
    "04a8bf0bc574a219ca672dcf3512053914b1debf26ff8bd0dea02cb24ae4fea8": "google-coral's MobileNetV2",
}
APACHE_STARTS = {
    ("mobilenetv1_224", "pretrained"): "timm's mobilenetv1_100",
    ("mobilenetv1_48", "pretrained"): "timm's mobilenetv1_100",
    ("mobilenetv2_224", "pretrained"): "timm's mobilenetv2_100",
    ("mobilenetv2_224", "torchvision-mobilenetv2"): "google-coral's MobileNetV2",
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
    if not (kept := {name: source for name, folder in folders.items() if (source := apache_source(folder))}):
        return "Code and weights: MIT."
    names, sources = (" and ".join(dict.fromkeys(texts)) for texts in ((f"`{name}`" for name in kept), kept.values()))
    return (
        f"Code and weights: MIT, except {names}: fine-tuned from the ImageNet weights of {sources}, under their "
        "Apache-2.0 "
        "licence."
    )


def licence_of(folder: Path, start: Start | None = None) -> str:
    """The licence of the weights, an identifier of the Hub.

    It is that of `start`, Apache-2.0 for weights fine-tuned from such, and MIT otherwise.
    """
    if start is not None:
        return start.licence
    return "apache-2.0" if apache_source(folder) else "mit"


def apache_source(folder: Path) -> str:
    """The authors of the Apache-2.0 ImageNet weights that the checkpoint started from; empty if there are none."""
    return " and ".join(dict.fromkeys(source for _, source in _starts(folder) if source))


def check_start(folder: Path, start: Start | None) -> None:
    """Raises PublishError for weights that started from others of unknown licence, unless `start` states it."""
    if start is None and (unknown := [what for what, source in _starts(folder) if not source]):
        raise PublishError(
            f"{folder.name} started from {' and '.join(unknown)}, whose licence is unknown and may forbid what "
            "MIT allows; "
            "give the licence of its weights with --licence, and the origin and terms of the weights it started "
            "from with "
            "--start-source"
        )


def _starts(folder: Path) -> list[tuple[str, str]]:
    """The name in the record and the author of the weights that each stage started from.

    Stages from random weights and from earlier runs are left out. The author is empty if the weights are unknown.
    """
    stages = record_of(folder)["stages"]
    starts = []
    for stage in [stage for stage in stages if "average" not in stage] or stages:  # a mean repeats its parts' recipe
        init, model, file = stage["recipe"]["init"], stage["recipe"]["model"], stage.get("init")
        if init not in (None, "checkpoint"):
            if file:
                starts.append((f"{file['name']} (SHA-256 {file['sha256'][:8]}…)", APACHE_FILES.get(file["sha256"], "")))
            else:
                starts.append((f"{init!r} weights for {model}", APACHE_STARTS.get((model, init), "")))
    return starts
