"""Facial-expression recognition for transformers: `pipeline("image-classification", model=..., trust_remote_code=True)(face, top_k=7)`.

The answer is that of emotion_hub's `EmotionPredictor.predict(face, whole=True)`. What transformers does of its own:

- It returns the five likeliest classes unless told `top_k=7`, and it never looks for faces: the whole picture is taken as one.
- The pipeline opens files and addresses itself, of any size, turns them upright and converts them to RGB: it drops transparency where
  emotion_hub flattens it on white, and clips 16-bit gray to white. `EmotionImageProcessor` called directly, with the path, the bytes or the
  unconverted PIL image, decodes as emotion_hub does.
- An array is (height, width, channels), a torch tensor (channels, height, width); uint8, uint16 or floats from 0 to 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from emotion_hub.errors import CheckpointError, ConfigError, missing_extra
from emotion_hub.images import load_image
from emotion_hub.interop.standalone import AUTO_MAP, write_code
from emotion_hub.models.classifier import ClassifierConfig
from emotion_hub.models.registry import create_model
from emotion_hub.preprocess import PreprocessConfig, Preprocessor

try:
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
    from transformers.modeling_outputs import ImageClassifierOutput
except ImportError as error:
    raise missing_extra("the adapter for transformers", "train", error) from error

__all__ = ["EmotionConfig", "EmotionForImageClassification", "EmotionImageProcessor"]


class EmotionConfig(PretrainedConfig):
    """`config.json` as transformers reads it: `model`, `labels`, `preprocess` and `options` are emotion_hub's, checked as it checks them.

    Raises ConfigError when they break a rule. `id2label` is where transformers keeps the labels: changed there, `labels` follows.
    """

    model_type = "emotion_hub"

    def __init__(
        self,
        model: str | None = None,
        labels: Sequence[str] | None = None,
        preprocess: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.model, self.preprocess, self.options = model, preprocess, options
        if model is not None:  # transformers makes an empty one to compare with
            said = {"model": model, "labels": labels, "preprocess": preprocess, "options": options}
            said |= {key: kwargs.get(key) for key in ("id2label", "label2id")}
            ours = ClassifierConfig.from_dict(
                {key: value for key, value in said.items() if value is not None}
            ).to_dict()
            self.preprocess, self.options = ours["preprocess"], ours["options"]
            kwargs |= {key: ours[key] for key in ("id2label", "label2id")}
        super().__init__(**{"auto_map": dict(AUTO_MAP), **kwargs})

    @property
    def labels(self) -> list[str]:
        """The names of the outputs, in their order."""
        return [self.id2label[key] for key in sorted(self.id2label, key=int)]

    @property
    def classifier(self) -> ClassifierConfig:
        """The same as emotion_hub's configuration; raises ConfigError when a value was changed to one that breaks a rule."""
        return ClassifierConfig.from_dict(
            {"model": self.model, "labels": self.labels, "preprocess": self.preprocess, "options": self.options}
        )

    def to_dict(self) -> dict[str, Any]:
        """What `config.json` gets: transformers' keys and ours, which agree."""
        return super().to_dict() | {
            "labels": self.labels,
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }


class EmotionForImageClassification(PreTrainedModel):
    """The network of an emotion_hub checkpoint: pixel_values, float32 (N, C, S, S) from EmotionImageProcessor -> logits (N, num_labels)."""

    config_class = EmotionConfig
    base_model_prefix = "network"  # files hold the network's own names; transformers puts this in front of them
    main_input_name = "pixel_values"

    def __init__(self, config: EmotionConfig) -> None:
        super().__init__(config)
        ours = config.classifier
        self.network = create_model(ours.model, len(ours.labels), **ours.options)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: networks start as their constructors say, not with transformers' normal distribution of 0.02."""

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, return_dict: bool | None = None
    ) -> ImageClassifierOutput | tuple[torch.Tensor, ...]:
        """Logits and, with `labels` ((N,) whole numbers or (N, num_labels) shares), the mean cross-entropy."""
        logits = self.network(pixel_values)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        if self.config.return_dict if return_dict is None else return_dict:
            return ImageClassifierOutput(loss=loss, logits=logits)
        return (logits,) if loss is None else (loss, logits)

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """The model in float32 and evaluation mode, from safetensors alone; `dtype` asks for another type, "auto" does not.

        Raises CheckpointError when the file lacks a tensor or has one too many. A head of another size is replaced by a fresh one only
        with `ignore_mismatched_sizes=True`, as transformers' guides to fine-tuning have it.
        """
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        kwargs["dtype"] = torch.float32 if dtype in (None, "auto") else dtype
        kwargs.setdefault("use_safetensors", True)
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        for problem in ("missing", "unexpected"):
            if keys := sorted(key.removeprefix("network.") for key in info[f"{problem}_keys"]):
                raise CheckpointError(
                    f"{problem} in the weights: {', '.join(keys[:4])}, {len(keys)} in all; they belong to another network or were renamed"
                )
        model._refill([key for key, *_ in info["mismatched_keys"]])
        return (model, info) if output_loading_info else model

    @torch.no_grad()
    def _refill(self, replaced: list[str]) -> None:
        """Fresh values for replaced tensors and for tables no file holds: transformers builds on the meta device, where both stay unset."""
        tables = [
            f"{name}.{table}" for name, module in self.named_modules() for table in module._non_persistent_buffers_set
        ]
        if not replaced and not tables:
            return
        fresh = type(self)(self.config)
        values = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
        mine = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        for name in {*replaced, *tables} & set(mine):
            mine[name].copy_(values[name])

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """torch's own, also for tensors under the network's names, as files hold them: Trainer resumes from such a file."""
        return super().load_state_dict(
            {f"network.{key.removeprefix('network.')}": value for key, value in state_dict.items()}, *args, **kwargs
        )

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: Mapping[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Weights under the network's own names, `config.json` and this code: a folder for transformers and for emotion_hub."""
        tensors = self.state_dict() if state_dict is None else state_dict
        tensors = {key.removeprefix("network."): value for key, value in tensors.items()}
        if is_main_process:
            write_code(save_directory, self.config.classifier)
        super().save_pretrained(save_directory, is_main_process=is_main_process, state_dict=tensors, **kwargs)


class EmotionImageProcessor(BaseImageProcessor):
    """emotion_hub's preprocessing for transformers; `preprocess` is the same object as in `config.json`.

    It decides everything, so `size`, `do_resize` and their like are refused: ConfigError.
    """

    def __init__(self, preprocess: Mapping[str, Any], **kwargs: Any) -> None:
        if refused := sorted(
            key for key in kwargs if key not in ("auto_map", "image_processor_type") and not key.startswith("_")
        ):
            raise ConfigError(
                f"{', '.join(map(repr, refused))}: the preprocessing belongs to the weights and is set by 'preprocess' alone"
            )
        super().__init__()
        self.preprocessor = Preprocessor(PreprocessConfig.from_dict(preprocess))

    def preprocess(self, images: Any, return_tensors: str | None = None) -> BatchFeature:
        """pixel_values, float32 (N, C, S, S), of one picture or several: whatever `load_image` reads, and torch tensors.

        Raises ImageError for what is not a picture.
        """
        return BatchFeature(
            {"pixel_values": self.preprocessor.batch(map(load_image, _pictures(images)))}, tensor_type=return_tensors
        )

    def to_dict(self) -> dict[str, Any]:
        """What `preprocessor_config.json` gets."""
        auto_map = {"AutoImageProcessor": AUTO_MAP["AutoImageProcessor"]}
        return {
            "image_processor_type": type(self).__name__,
            "auto_map": auto_map,
            "preprocess": self.preprocessor.config.to_dict(),
        }

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of `preprocessor_config.json`; raises ConfigError when `config.json` beside it says something else."""
        values, unused = super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        try:
            beside, _ = super().get_image_processor_dict(
                pretrained_model_name_or_path, **{**kwargs, "image_processor_filename": "config.json"}
            )
        except OSError:  # a processor that was saved alone
            return values, unused
        if beside.get("preprocess", values.get("preprocess")) != values.get("preprocess"):
            raise ConfigError("preprocessor_config.json and config.json differ in 'preprocess'; one of them was edited")
        return values, unused


def _pictures(images: Any) -> list[Any]:
    """One picture an item: batches are split, a torch tensor becomes an array with its channels last."""
    if isinstance(images, list | tuple):
        return [picture for item in images for picture in _pictures(item)]
    if isinstance(images, torch.Tensor):
        array = (images.float() if images.is_floating_point() else images).cpu().numpy()
        return _pictures(array if array.ndim < 3 else np.moveaxis(array, -3, -1))
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    return [images]
