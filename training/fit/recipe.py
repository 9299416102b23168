"""Recipe: the settings of a training run, read from a TOML file."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_hub.errors import ConfigError, LabelError
from emotion_hub.labels import FER2013, LABEL_SETS, LabelSet, label_set
from emotion_hub.models.classifier import ClassifierConfig
from emotion_hub.preprocess import PreprocessConfig
from training.augmentation.strengths import Augmentation
from training.data.duplicates import THRESHOLD
from training.data.selection import near_threshold

__all__ = ["Recipe", "load_recipe"]

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "step", "plateau", "constant")
STARTS = (None, "pretrained", "torchvision-mobilenetv2", "checkpoint")
DTYPES = ("bfloat16", "float16", "float32")
SELECTIONS = ("accuracy", "macro_f1")
CLASS_WEIGHTS = (None, "inverse", "class_balanced")
LOSSES = ("cross_entropy", "logit_adjusted")

#: Integer settings and the minimum of each.
MINIMA = {"epochs": 1, "batch_size": 1, "step_epochs": 1, "freeze_epochs": 0, "patience": 0, "seed": 0}


@dataclass(frozen=True)
class Recipe:
    """All settings that determine the weights, apart from the data and the machine.

    `preprocess` is saved with the checkpoint. `train_size` prepares the training faces at another side. `sizes`,
    pairs of (share of the training, side), changes the side during training (progressive resizing). `init` names
    the kind of starting weights, whose file is given on the command line: "pretrained" (ImageNet, with
    torchvision's or timm's keys, or a checkpoint of this network, whose last layer stays random where the labels
    differ) or "checkpoint" (an earlier run, every tensor).

    `lr` is the peak learning rate. `backbone_lr` is another one for everything but the head (discriminative
    rates). `freeze_epochs` freezes the backbone in the first epochs. `schedule` follows a linear warm-up of
    `warmup_epochs`: "cosine" to zero, "step" (times `gamma` every `step_epochs`) or "constant". "plateau" (times
    `gamma` in the third consecutive epoch without a gain in `select`) starts at the peak rate, without warm-up.
    `decay_all` applies weight decay to biases and norms too, as a plain optimiser does.

    Targets are the labels, mixed with the share `ferplus` of FER+ votes and the share `distill` of the teachers'
    probabilities, smoothed by `label_smoothing`. `class_weights` weighs rare labels more, "class_balanced" with
    `class_beta`; or `loss` "logit_adjusted" moves the decision towards them by `tau` (training.fit.losses), with which
    `select` "macro_f1" fits. `mixup` and `cutmix` are the alphas of their beta distributions;
    with both on, every batch draws one of them. The run ends after `patience` epochs without a gain of `min_gain`
    in the validation score `select`; 0 switches this off. `ema_decay` 0 keeps the plain weights.

    Training images with a correlation of at least `near` with an evaluation image are left out
    (training.data.faces). 0, stored as None, switches this off.
    """

    name: str
    model: str
    preprocess: PreprocessConfig
    epochs: int
    lr: float
    augmentation: Augmentation = field(default_factory=Augmentation)
    options: dict[str, Any] = field(default_factory=dict)
    label_set: str | tuple[str, ...] = FER2013.name
    batch_size: int = 128
    optimizer: str = "sgd"
    weight_decay: float = 5e-4
    decay_all: bool = False
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    step_epochs: int = 8
    gamma: float = 0.5
    backbone_lr: float | None = None
    freeze_epochs: int = 0
    clip_norm: float = 5.0
    label_smoothing: float = 0.1
    class_weights: str | None = None
    class_beta: float = 0.999
    loss: str = "cross_entropy"
    tau: float = 1.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ferplus: float = 0.0
    distill: float = 0.0
    ema_decay: float = 0.999
    select: str = "accuracy"
    patience: int = 0
    min_gain: float = 0.0
    dtype: str = "bfloat16"
    near: float | None = THRESHOLD
    train_size: int | None = None
    sizes: tuple[tuple[float, int], ...] = ()
    init: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple((float(start), int(side)) for start, side in self.sizes))
        _ = self.classifier  # raises for an unknown network and for preprocessing that does not fit it
        choices = (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("dtype", DTYPES),
            ("select", SELECTIONS),
            ("class_weights", CLASS_WEIGHTS),
            ("loss", LOSSES),
        )
        for name, known in choices:
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r}; choose from {', '.join(str(k) for k in known if k)}"
                )
        if self.init not in STARTS:
            raise ConfigError(
                f"init={self.init!r}; choose from {', '.join(map(repr, STARTS[1:]))}, or leave it out for random "
                "weights"
            )
        if not 0 <= self.ema_decay < 1 or not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"ema_decay={self.ema_decay}, label_smoothing={self.label_smoothing}: give values from 0 to below 1"
            )
        if not 0 <= self.class_beta < 1 or not 0 < self.tau < math.inf:
            raise ConfigError(
                f"class_beta={self.class_beta}, tau={self.tau}: give a beta from 0 to below 1 and a finite tau above 0"
            )
        if self.loss == "logit_adjusted" and self.class_weights:
            raise ConfigError(
                f"loss='logit_adjusted' with class_weights={self.class_weights!r} would balance the labels twice; "
                "leave one of them out"
            )
        for name, minimum in MINIMA.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
                raise ConfigError(f"{name}={value!r}: give an integer of at least {minimum}")
        for name, rate in (("lr", self.lr), ("backbone_lr", self.backbone_lr)):
            if rate is not None and not rate > 0:
                raise ConfigError(
                    f"{name}={rate}: a learning rate is above 0; use freeze_epochs to freeze the backbone"
                )
        if not 0 < self.gamma < 1:
            raise ConfigError(f"gamma={self.gamma}: the factor of the learning rate is above 0 and below 1")
        object.__setattr__(self, "near", near_threshold(self.near))
        for name in ("weight_decay", "warmup_epochs", "clip_norm", "mixup", "cutmix", "min_gain"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}: give 0 (off) or more")
        if min(self.ferplus, self.distill) < 0 or self.ferplus + self.distill > 1:
            raise ConfigError(
                f"ferplus={self.ferplus}, distill={self.distill}: give shares of at least 0 whose sum is at most 1"
            )
        starts = [start for start, _ in self.sizes]
        if starts and (
            starts[0] != 0
            or starts != sorted(set(starts))
            or starts[-1] >= 1
            or min(side for _, side in self.sizes) < 8
        ):
            raise ConfigError(
                f"sizes={self.sizes}: give pairs of (share of the training, side of at least 8 pixels), the shares "
                "rising from 0 to below 1"
            )

    @property
    def labels(self) -> LabelSet:
        """The label set of the targets; raises ConfigError for an unknown one."""
        try:
            return label_set(self.label_set)
        except LabelError as error:
            raise ConfigError(f"label_set={self.label_set!r}: {error}") from error

    @property
    def training_preprocess(self) -> PreprocessConfig:
        """The preprocessing of the training images: `preprocess`, with the side `train_size` if that is set."""
        return dataclasses.replace(self.preprocess, size=self.train_size) if self.train_size else self.preprocess

    @property
    def classifier(self) -> ClassifierConfig:
        """The configuration of the recipe's checkpoint; raises ConfigError when its parts do not fit each other."""
        return ClassifierConfig(self.model, self.labels.labels, preprocess=self.preprocess, options=self.options)

    def side_at(self, epoch: int) -> int:
        """The side of the training images in this epoch, in pixels; epochs are counted from 0."""
        sides = [side for start, side in self.sizes if epoch >= start * self.epochs]
        return sides[-1] if sides else self.training_preprocess.size

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON types."""
        strengths = dataclasses.asdict(self.augmentation)
        augmentation = {key: list(value) if isinstance(value, tuple) else value for key, value in strengths.items()}
        return {
            **dataclasses.asdict(self),
            "preprocess": self.preprocess.to_dict(),
            "augmentation": augmentation,
            "sizes": [list(pair) for pair in self.sizes],
            "label_set": self.label_set if isinstance(self.label_set, str) else list(self.label_set),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a mapping; raises ConfigError that names unknown keys."""
        values = dict(values)
        known = [f.name for f in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown recipe key {', '.join(map(repr, unknown))}; known are {', '.join(known)}")
        values["preprocess"] = PreprocessConfig.from_dict(values["preprocess"])
        strengths = values.get("augmentation", {})
        if unknown := sorted(set(strengths) - {f.name for f in dataclasses.fields(Augmentation)}):
            raise ConfigError(
                f"unknown augmentation {', '.join(map(repr, unknown))}; see training.augmentation.strengths"
            )
        values["augmentation"] = Augmentation(**strengths)
        if isinstance(labels := values.get("label_set"), list):
            values["label_set"] = tuple(labels)
        return cls(**values)


def load_recipe(path: str | Path, *, labels: LabelSet | None = None, default_labels: LabelSet | None = None) -> Recipe:
    """The recipe in a TOML file.

    `labels` replace its label set; `default_labels` are used when it names none. Raises ConfigError for a file that is
    missing or not a recipe.
    """
    try:
        values = tomllib.loads(Path(path).read_text())
        if chosen := labels or (None if "label_set" in values else default_labels):
            values["label_set"] = chosen.name if chosen.name in LABEL_SETS else list(chosen.labels)
        return Recipe.from_dict(values)
    except FileNotFoundError:
        raise ConfigError(f"no recipe at {path}; the recipes are the .toml files in training/runs/") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is not a recipe: {error}") from error
