"""Classes for transformers: configuration, model and image processor.

`pipeline("image-classification", model=..., trust_remote_code=True)(face, top_k=7)` returns the probabilities of
emotion_hub's `EmotionPredictor.predict(face, whole=True)`, with these differences:

- The pipeline returns the five most probable classes unless `top_k=7` is given. It does not detect faces: the whole
  image is the face.
- The pipeline opens files and URLs itself, without a size limit, and converts them to RGB: it drops transparency,
  which emotion_hub flattens on white, and clips 16-bit gray values to white. `EmotionImageProcessor`, called directly
  with the path, the bytes or the unconverted PIL image, decodes as emotion_hub does.
- An array is (height, width, channels), a torch tensor (channels, height, width); uint8, uint16 or float 0..1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F

from emotion_hub.errors import CheckpointError, ConfigError, missing_extra
from emotion_hub.images import load_image
from emotion_hub.interop.standalone import AUTO_MAP, write_code
from emotion_hub.models.config import ClassifierConfig
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
    """`config.json` for transformers, with emotion_hub's keys, which are the fields of `ClassifierConfig`.

    Raises ConfigError when they break one of its rules. transformers stores the labels in `id2label`; `labels` is
    derived from it. `prediction_sets` is dropped when a network gets other labels; when it is trained further with the
    same labels, set it to None, or fit it again.
    """

    model_type = "emotion_hub"

    def __init__(
        self,
        model: str | None = None,
        labels: Sequence[str] | None = None,
        preprocess: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        prediction_sets: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.model, self.preprocess, self.options, self.prediction_sets = model, preprocess, options, prediction_sets
        if model is not None:  # transformers creates one without arguments to compare with
            given = {"model": model, "labels": labels, "preprocess": preprocess, "options": options}
            given |= {"prediction_sets": prediction_sets}
            given |= {key: kwargs.get(key) for key in ("id2label", "label2id")}
            checked = ClassifierConfig.from_dict({key: value for key, value in given.items() if value is not None})
            values = checked.to_dict()
            self.preprocess, self.options = values["preprocess"], values["options"]
            kwargs |= {key: values[key] for key in ("id2label", "label2id")}
        super().__init__(**{"auto_map": dict(AUTO_MAP), **kwargs})

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the logits."""
        id2label: dict[Any, str] = self.id2label or {}
        return [id2label[key] for key in sorted(id2label, key=int)]

    @property
    def classifier(self) -> ClassifierConfig:
        """The same settings as a ClassifierConfig; raises ConfigError when a changed value breaks a rule."""
        own = {"model": self.model, "labels": self.labels, "preprocess": self.preprocess, "options": self.options}
        return ClassifierConfig.from_dict(own | self._sets())

    def _sets(self) -> dict[str, Any]:
        """The entry `prediction_sets`; empty where there is none, and where it belongs to other labels."""
        sets = self.prediction_sets
        return {"prediction_sets": sets} if sets and set(sets["thresholds"]) == set(self.labels) else {}

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`: the keys of transformers and those of emotion_hub, with equal labels."""
        label2id = {label: number for number, label in enumerate(self.labels)}
        values = super().to_dict() | {"labels": self.labels, "label2id": label2id}
        values.pop("prediction_sets", None)
        return values | self._sets()


class EmotionForImageClassification(PreTrainedModel):
    """The network of a checkpoint, from `pixel_values`, float32 (N, C, S, S), to logits (N, num_labels)."""

    config_class = EmotionConfig
    base_model_prefix = "network"  # transformers adds this prefix to the names in the file
    main_input_name = "pixel_values"

    def __init__(self, config: EmotionConfig) -> None:
        super().__init__(config)
        classifier = config.classifier
        self.network = create_model(classifier.model, len(classifier.labels), **classifier.options)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Does nothing: constructors initialise the weights; transformers would use a normal distribution."""

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, return_dict: bool | None = None
    ) -> ImageClassifierOutput | tuple[torch.Tensor, ...]:
        """Logits and, with `labels` ((N,) class numbers or (N, num_labels) soft targets), the mean cross-entropy."""
        logits = self.network(pixel_values)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        if self.config.return_dict if return_dict is None else return_dict:
            return ImageClassifierOutput(loss=loss, logits=logits)
        return (logits,) if loss is None else (loss, logits)

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any) -> Any:
        """The model in float32 and evaluation mode, from safetensors only; `dtype` selects another type, except "auto".

        Raises CheckpointError when the file lacks a tensor or has an unexpected one. A head of another size is replaced
        by a new one only with `ignore_mismatched_sizes=True`, as in transformers' fine-tuning guides.
        """
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        kwargs["dtype"] = torch.float32 if dtype in (None, "auto") else dtype
        kwargs.setdefault("use_safetensors", True)
        # Any: the stubs of transformers do not describe the pair that output_loading_info returns
        loaded: Any = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        model, info = loaded
        for problem in ("missing", "unexpected"):
            if keys := sorted(key.removeprefix("network.") for key in info[f"{problem}_keys"]):
                raise CheckpointError(
                    f"{problem} in the weights: {', '.join(keys[:4])}, {len(keys)} in total; "
                    "they belong to another network or were renamed"
                )
        model._fill_unset([key for key, *_ in info["mismatched_keys"]])
        return (model, info) if output_loading_info else model

    @torch.no_grad()
    def _fill_unset(self, replaced: list[str]) -> None:
        """Initialise the replaced tensors and the buffers that files do not contain.

        transformers builds the model on the meta device, which leaves both without values.
        """
        buffers = [
            f"{name}.{buffer}" for name, module in self.named_modules() for buffer in module._non_persistent_buffers_set
        ]
        if not replaced and not buffers:
            return
        initialised = type(self)(cast(EmotionConfig, self.config))
        values = {**dict(initialised.named_parameters()), **dict(initialised.named_buffers())}
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        for name in {*replaced, *buffers} & set(tensors):
            tensors[name].copy_(values[name])

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """torch's `load_state_dict`; names without the prefix "network." are accepted too.

        Files have such names, and Trainer resumes from them.
        """
        return super().load_state_dict(
            {f"network.{key.removeprefix('network.')}": value for key, value in state_dict.items()}, *args, **kwargs
        )

    def save_pretrained(  # type: ignore[override]  # the other parameters are passed on as keywords
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: Mapping[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write weights under the network's names, `config.json` and this code, for transformers and emotion_hub."""
        tensors = self.state_dict() if state_dict is None else state_dict
        tensors = {key.removeprefix("network."): value for key, value in tensors.items()}
        if is_main_process:
            write_code(Path(save_directory), self.config.classifier)
        super().save_pretrained(save_directory, is_main_process=is_main_process, state_dict=tensors, **kwargs)


class EmotionImageProcessor(BaseImageProcessor):
    """emotion_hub's preprocessing for transformers; `preprocess` is the same object as in `config.json`.

    Raises ConfigError for `size`, `do_resize` and similar arguments, because `preprocess` alone determines the input.
    """

    def __init__(self, preprocess: Mapping[str, Any], **kwargs: Any) -> None:
        allowed = ("auto_map", "image_processor_type")
        if refused := sorted(key for key in kwargs if key not in allowed and not key.startswith("_")):
            raise ConfigError(
                f"{', '.join(map(repr, refused))}: the preprocessing belongs to the weights and is set by "
                "'preprocess' alone"
            )
        super().__init__()
        self.preprocessor = Preprocessor(PreprocessConfig.from_dict(preprocess))

    def preprocess(self, images: Any, return_tensors: str | None = None) -> BatchFeature:
        """pixel_values, float32 (N, C, S, S), of one image or several: sources of `load_image` or torch tensors.

        Raises ImageError for anything else.
        """
        pixel_values = self.preprocessor.batch(map(load_image, _image_list(images)))
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

    def to_dict(self) -> dict[str, Any]:
        """The content of `preprocessor_config.json`."""
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
        """The values of `preprocessor_config.json`; raises ConfigError when `config.json` has another `preprocess`."""
        values, unused = super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        try:
            model_config, _ = super().get_image_processor_dict(
                pretrained_model_name_or_path, **{**kwargs, "image_processor_filename": "config.json"}
            )
        except OSError:  # the image processor was saved without a model
            return values, unused
        if model_config.get("preprocess", values.get("preprocess")) != values.get("preprocess"):
            raise ConfigError("preprocessor_config.json and config.json differ in 'preprocess'; one of them was edited")
        return values, unused


def _image_list(images: Any) -> list[Any]:
    """A list of single images: batches are split, torch tensors become arrays with the channels last."""
    if isinstance(images, list | tuple):
        return [image for item in images for image in _image_list(item)]
    if isinstance(images, torch.Tensor):
        array = (images.float() if images.is_floating_point() else images).cpu().numpy()
        return _image_list(array if array.ndim < 3 else np.moveaxis(array, -3, -1))
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    return [images]
