"""`EmotionClassifier`: a network with its labels and preprocessing, saved and loaded as one checkpoint.

The mixin's own loading is not used. It accepts a renamed head with random weights (`strict=False`), drops misspelt
configuration keys, and falls back to a pickle. Here the configuration is read and checked key by key, every tensor
must fit, and only safetensors are opened.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, local_folder, resolve_file
from emotion_hub.errors import CheckpointError, ConfigError, LabelError, first_line
from emotion_hub.labels import FER2013, LabelSet
from emotion_hub.models.registry import create_model, get_entry
from emotion_hub.preprocess import PREPROCESSING, PreprocessConfig, Preprocessor

__all__ = ["ClassifierConfig", "EmotionClassifier"]

#: Keys other readers of the same file may need; they are allowed, checked where they repeat ours, and not used.
_TRANSFORMERS_KEYS = frozenset(
    [
        "architectures",
        "auto_map",
        "dtype",
        "id2label",
        "label2id",
        "model_type",
        "num_labels",
        "problem_type",
        "torch_dtype",
        "transformers_version",
    ]
) | {"use_cache"}  # transformers.Trainer writes it into every model's configuration

#: Keys of timm's own `config.json`, which stand beside ours where timm reads the same file.
_TIMM_KEYS = frozenset(["architecture", "label_names", "num_classes", "num_features", "pretrained_cfg"])
_OWN_KEYS = ("model", "labels", "preprocess", "options")

#: More labels than any set of expressions has, and few enough for a message to list them.
_MOST_LABELS = 1000

#: Types a checkpoint's floating-point tensors may be stored in.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class ClassifierConfig:
    """What `config.json` says: the network's name and options, its labels in order, its preprocessing."""

    model: str
    labels: tuple[str, ...] = FER2013.labels
    preprocess: PreprocessConfig | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entry = get_entry(self.model)
        if not isinstance(self.labels, list | tuple):
            raise ConfigError(f"labels={self.labels!r}: give a list of names in the order of the logits")
        if len(self.labels) < 2:
            raise ConfigError(f"labels={self.labels!r}: a classifier needs at least two")
        if len(self.labels) > _MOST_LABELS:
            raise ConfigError(f"{len(self.labels):,} labels; a classifier has at most {_MOST_LABELS:,}")
        try:
            object.__setattr__(self, "labels", LabelSet("custom", tuple(self.labels)).labels)
        except LabelError as error:
            raise ConfigError(f"labels={self.labels!r}: {error}") from error
        if not isinstance(self.options, Mapping):
            raise ConfigError(f"options={self.options!r}: give an object of options of {self.model}")
        if taken := sorted({"name", "num_classes", "pretrained"} & set(self.options)):
            raise ConfigError(
                f"{', '.join(map(repr, taken))} is no option; 'model' names the network and 'labels' gives the number of classes"
            )
        object.__setattr__(self, "options", dict(self.options))
        if self.preprocess is None:
            object.__setattr__(self, "preprocess", PREPROCESSING[entry.preprocessing])
        if not isinstance(self.preprocess, PreprocessConfig):
            raise ConfigError(
                f"preprocess is a {type(self.preprocess).__name__}; give a PreprocessConfig, or use ClassifierConfig.from_dict for plain JSON"
            )
        wanted = PREPROCESSING[entry.preprocessing].channels
        if self.preprocess.channels != wanted:
            raise ConfigError(
                f"{self.model} takes {wanted} channel(s), its preprocessing gives {self.preprocess.channels}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`: our keys, and id2label for readers that know only that."""
        id2label = {str(i): label for i, label in enumerate(self.labels)}
        own = {
            "model": self.model,
            "labels": list(self.labels),
            "preprocess": self.preprocess.to_dict(),
            "options": dict(self.options),
        }
        return {
            "model_type": "emotion_hub",
            **own,
            "id2label": id2label,
            "label2id": {v: int(k) for k, v in id2label.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ClassifierConfig":
        """The configuration a dict describes; raises ConfigError for unknown, missing or contradicting keys."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"a configuration is a JSON object, not {type(values).__name__}")
        beside = _TRANSFORMERS_KEYS | (_TIMM_KEYS if "architecture" in values else frozenset())
        if unknown := sorted(set(values) - set(_OWN_KEYS) - beside):
            raise ConfigError(
                f"unknown configuration key {', '.join(map(repr, unknown))}; ours are {', '.join(_OWN_KEYS)}"
            )
        if missing := [k for k in _OWN_KEYS[:3] if k not in values]:
            raise ConfigError(
                f"the configuration lacks {', '.join(map(repr, missing))}; it is no emotion_hub checkpoint, or an edited one"
            )
        if not isinstance(values["preprocess"], Mapping):
            raise ConfigError(f"preprocess={values['preprocess']!r}: the preprocessing is a JSON object")
        config = cls(
            values["model"],
            values["labels"],
            PreprocessConfig.from_dict(values["preprocess"]),
            values.get("options", {}),
        )
        ours = config.to_dict()
        said = {"id2label": ours["id2label"], "label2id": ours["label2id"], "label_names": ours["labels"]}
        for key, own in {**said, **dict.fromkeys(("num_labels", "num_classes"), len(config.labels))}.items():
            theirs = values.get(key)
            if isinstance(theirs, Mapping):  # JSON turns the numbers of id2label into strings
                theirs = {str(k): v for k, v in theirs.items()}
            if theirs is not None and theirs != own:
                raise ConfigError(f"{key} {theirs} contradicts labels {ours['labels']}; one of them was edited")
        return config


class EmotionClassifier(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="emotion_hub",
    license="mit",
    pipeline_tag="image-classification",
    tags=["facial-expression-recognition", "emotion-recognition", "fer2013"],
):
    """A network that turns prepared faces into logits, float32 (N, C, H, W) -> (N, num_classes).

    `classifier.preprocessor` makes its input, `classifier.labels` names its outputs. `config` is a ClassifierConfig or
    the name of a registered network, which then gets seven FER2013 labels and its own preprocessing.
    """

    def __init__(self, config: ClassifierConfig | str) -> None:
        super().__init__()
        self.config = ClassifierConfig(config) if isinstance(config, str) else config
        self.labels = LabelSet.of(self.config.labels)
        self.preprocessor = Preprocessor(self.config.preprocess)
        self.network = create_model(self.config.model, len(self.labels), **self.config.options)

    @classmethod
    def ensemble(cls, members: Sequence["EmotionClassifier"]) -> "EmotionClassifier":
        """One classifier, in evaluation mode, with copies of the members' weights; its softmax is the mean of their probabilities.

        Raises ConfigError for fewer than two members, and for members that differ in labels or preprocessing.
        """
        if len(members) < 2:
            raise ConfigError(f"{len(members)} member(s) given: an ensemble is made of at least two classifiers")
        first = members[0].config
        for member in members[1:]:
            if member.config.labels != first.labels or member.config.preprocess != first.preprocess:
                theirs, ours = ((list(c.labels), c.preprocess.to_dict()) for c in (member.config, first))
                raise ConfigError(
                    f"{member.config.model} has labels and preprocessing {theirs}, {first.model} {ours}; members share both, in order"
                )
        described = [{"model": member.config.model, "options": dict(member.config.options)} for member in members]
        name = f"ensemble_{get_entry(first.model).preprocessing}"
        model = cls(ClassifierConfig(name, first.labels, first.preprocess, {"members": described}))
        for network, member in zip(model.network.members, members, strict=True):
            network.load_state_dict(member.network.state_dict())
        return model.eval()

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits, (N, num_classes), of normalised pixels, (N, C, H, W)."""
        return self.network(pixel_values)

    @property
    def num_parameters(self) -> int:
        """Weights and biases of the network; batch-norm statistics are not counted."""
        return sum(p.numel() for p in self.network.parameters())

    def _save_pretrained(self, save_directory: Path) -> None:
        """`config.json` and `model.safetensors`, the network's tensors under the network's own names."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        (save_directory / WEIGHTS_FILE).write_bytes(
            save(tensors, metadata={"format": "pt"})
        )  # save_file would leave mode 0600
        (save_directory / CONFIG_FILE).write_text(json.dumps(self.config.to_dict(), indent=2) + "\n")

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """A card with what the configuration knows; the mixin's own has only blanks, and `push_to_hub` would put it on the Hub."""
        prep = self.config.preprocess
        text = (
            f"# {self.config.model}\n\nFacial-expression classifier for the package emotion_hub: `{self.config.model}`, {self.num_parameters:,} parameters.\n\n"
            f"- Input: {prep.size}x{prep.size} pixels, {prep.channels} channel(s), preprocessing `{prep.name}` as in `config.json`.\n"
            f"- Outputs, in order: {', '.join(self.labels.labels)}.\n- Not measured yet: see `training.evaluate` and `training.card` of emotion_hub.\n\n"
            "```python\nfrom emotion_hub import EmotionPredictor\n\npredictor = EmotionPredictor.from_pretrained(FOLDER_OR_HUB_ID)\n```\n\n"
            "It names the expression a face shows, not what a person feels. Inferring emotions at work or in education is prohibited in the EU "
            "(AI Act, Article 5(1)(f)).\n"
        )
        return ModelCard(f"---\n{self._hub_mixin_info.model_card_data.to_yaml()}\n---\n\n{text}")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        map_location: str | torch.device = "cpu",
    ) -> "EmotionClassifier":
        """The classifier saved under an embedded name, in a folder or on the Hub, in float32 and evaluation mode.

        Raises UnknownModelError for a name that is none of these, CheckpointError when a file is missing, damaged, a pickle
        or of another network, and ConfigError when the configuration breaks a rule.
        """
        where = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
        }
        source = pretrained_model_name_or_path
        config_path = resolve_file(source, CONFIG_FILE, **where)
        try:
            values = json.loads(config_path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:  # brackets nested too deep are a RecursionError
            raise CheckpointError(f"{CONFIG_FILE} of {str(source)!r} is not JSON: {error}") from error
        config = ClassifierConfig.from_dict(values)
        if local_folder(source) is None and config_path.parent.parent.name == "snapshots":
            where["revision"] = config_path.parent.name  # the commit: a push in between must not mix two
        weights = resolve_file(source, WEIGHTS_FILE, **where)
        with torch.device("meta"):  # nothing is allocated yet: a configuration can ask for a network of any size
            described = create_model(config.model, len(config.labels), **config.options)
        tensors = _read_strictly(described, weights, str(source))
        model = cls(config)
        model.network.load_state_dict(tensors)
        _check_answer(model.eval(), str(source))
        return model.to(map_location)


@torch.inference_mode()
def _check_answer(model: EmotionClassifier, source: str) -> None:
    """Run extreme faces: raises CheckpointError when the answer is not finite, as finite weights can still overflow."""
    try:
        logits = model(torch.from_numpy(model.preprocessor.extremes()))
    except RuntimeError as error:
        raise CheckpointError(
            f"{source!r} does not take faces as its configuration prepares them: {first_line(error)}"
        ) from error
    if not torch.isfinite(logits).all():
        raise CheckpointError(
            f"{source!r} answers with values that are not finite: its weights are damaged or too large to be used; get another checkpoint"
        )


def _read_strictly(network: nn.Module, path: Path, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file for this network, every tensor of both sides accounted for; floats become float32."""
    target, fitted = network.state_dict(), {}
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} of {source!r} is damaged or no safetensors file: {error}") from error
    if missing := [k for k in target if k not in shapes]:
        raise CheckpointError(
            f"{source!r} lacks {_some(missing)}; the weights belong to another network or were renamed"
        )
    if extra := [k for k in shapes if k not in target]:
        raise CheckpointError(
            f"{source!r} has {_some(extra)}, which the network does not; the weights belong to another network or were renamed"
        )
    for name, shape in shapes.items():
        if shape != tuple(target[name].shape):
            raise CheckpointError(
                f"{name!r} of {source!r} has shape {shape}, the network wants {tuple(target[name].shape)}"
            )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} of {source!r} is damaged or no safetensors file: {error}") from error
    for name, tensor in tensors.items():
        wanted = target[name].dtype
        if tensor.dtype not in (_FLOATS if wanted.is_floating_point else (wanted,)):
            raise CheckpointError(f"{name!r} of {source!r} is {tensor.dtype}, the network wants {wanted}")
        fitted[name] = tensor.to(wanted)
        if not torch.isfinite(fitted[name]).all():
            raise CheckpointError(
                f"{name!r} of {source!r} holds values that are not finite; the file is damaged or the training diverged"
            )
        if name.endswith("running_var") and (fitted[name] < 0).any():
            raise CheckpointError(f"{name!r} of {source!r} holds negative variances; the file is damaged")
    return fitted


def _some(names: list[str]) -> str:
    listed = ", ".join(map(repr, names[:4]))
    return listed + (f" and {len(names) - 4} more tensors" if len(names) > 4 else "")
