"""A training run's settings, read from a TOML file under `training/runs/`."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_hub.errors import ConfigError
from emotion_hub.models.classifier import ClassifierConfig
from emotion_hub.preprocess import PreprocessConfig
from training.augment import Augmentation

__all__ = ["Recipe", "load_recipe"]

OPTIMIZERS = ("sgd", "adamw")
STARTS = (None, "torchvision-mobilenetv2", "checkpoint")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the data and the machine.

    `preprocess` is what is saved with the checkpoint. `train_size` trains on another side than the saved one
    (progressive resizing). `init` names starting weights, a file given on the command line: "torchvision-mobilenetv2" or
    "checkpoint".
    """

    name: str
    model: str
    preprocess: PreprocessConfig
    epochs: int
    lr: float
    augmentation: Augmentation = field(default_factory=Augmentation)
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 128
    optimizer: str = "sgd"
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    train_size: int | None = None
    init: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self.classifier  # an unknown network or preprocessing that does not fit it
        if self.init not in STARTS:
            raise ConfigError(f"init={self.init!r}; choose from {', '.join(map(repr, STARTS[1:]))}, or leave it out for random weights")
        if not 0 <= self.ema_decay < 1 or not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"ema_decay={self.ema_decay}, label_smoothing={self.label_smoothing}: both lie from 0 to below 1")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"optimizer={self.optimizer!r}; choose from {', '.join(OPTIMIZERS)}")
        if self.epochs < 1 or self.batch_size < 1 or self.lr <= 0:
            raise ConfigError(f"epochs={self.epochs}, batch_size={self.batch_size}, lr={self.lr}: all must be above 0")

    @property
    def training_preprocess(self) -> PreprocessConfig:
        """The preprocessing of the training images: the saved one, at `train_size` where it is set."""
        return dataclasses.replace(self.preprocess, size=self.train_size) if self.train_size else self.preprocess

    @property
    def classifier(self) -> ClassifierConfig:
        """The configuration of the checkpoint this recipe makes; raises ConfigError when its parts do not fit each other."""
        return ClassifierConfig(self.model, preprocess=self.preprocess, options=self.options)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**dataclasses.asdict(self), "preprocess": self.preprocess.to_dict(), "augmentation": dataclasses.asdict(self.augmentation)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe a mapping describes; raises ConfigError naming unknown keys."""
        values = dict(values)
        known = [f.name for f in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown recipe key {', '.join(map(repr, unknown))}; known are {', '.join(known)}")
        values["preprocess"] = PreprocessConfig.from_dict(values["preprocess"])
        strengths = values.get("augmentation", {})
        if unknown := sorted(set(strengths) - {f.name for f in dataclasses.fields(Augmentation)}):
            raise ConfigError(f"unknown augmentation {', '.join(map(repr, unknown))}")
        values["augmentation"] = Augmentation(**strengths)
        return cls(**values)


def load_recipe(path: str | Path) -> Recipe:
    """The recipe in a TOML file; raises ConfigError for a file that is missing or not TOML."""
    try:
        return Recipe.from_dict(tomllib.loads(Path(path).read_text()))
    except FileNotFoundError:
        raise ConfigError(f"no recipe at {path}; the recipes are the .toml files in training/runs/") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a recipe: {error}") from error
