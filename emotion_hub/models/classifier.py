"""Classifier: a network with labels and preprocessing, as one checkpoint.

`EmotionClassifier` saves with huggingface_hub's mixin and does not use the mixin's loading, which accepts a renamed
head with random weights (`strict=False`), drops misspelt configuration keys and falls back to a pickle. Here the
configuration is checked key by key, every tensor must fit, and only safetensors are opened
(`emotion_hub.models.strict_loading`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from huggingface_hub import ModelCard, PyTorchModelHubMixin

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, DownloadOptions, local_folder, resolve_file
from emotion_hub.errors import CheckpointError, ConfigError, first_line, missing_extra
from emotion_hub.labels import LabelSet
from emotion_hub.models.config import ClassifierConfig
from emotion_hub.models.registry import create_model, get_entry
from emotion_hub.preprocess import Preprocessor

try:
    import torch
    from safetensors.torch import save
    from torch import nn

    from emotion_hub.models.ensemble import Ensemble
    from emotion_hub.models.strict_loading import read_tensors
except ModuleNotFoundError as error:
    raise missing_extra("this network", "torch", error) from error

__all__ = ["ClassifierConfig", "EmotionClassifier"]


class EmotionClassifier(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="emotion_hub",
    license="mit",
    pipeline_tag="image-classification",
    tags=["facial-expression-recognition", "emotion-recognition", "fer2013"],
):
    """A network from normalised pixels, float32 (N, C, H, W), to logits (N, num_classes).

    `classifier.preprocessor` makes its input, `classifier.labels` names its outputs. `config` is a ClassifierConfig or
    the name of a registered network, which then gets the seven FER2013 labels and its own preprocessing.
    """

    def __init__(self, config: ClassifierConfig | str) -> None:
        super().__init__()
        self.config = ClassifierConfig(config) if isinstance(config, str) else config
        self.labels = LabelSet.of(self.config.labels)
        self.preprocessor = Preprocessor(self.config.preprocess)
        self.network = create_model(self.config.model, len(self.labels), **self.config.options)

    @classmethod
    def ensemble(cls, members: Sequence["EmotionClassifier"]) -> "EmotionClassifier":
        """One classifier, in evaluation mode, whose softmax is the mean of the members' probabilities.

        It has copies of their weights. Raises ConfigError for fewer than two members, and for members that differ in
        labels or preprocessing.
        """
        if len(members) < 2:
            raise ConfigError(f"{len(members)} member(s) given: an ensemble is made of at least two classifiers")
        first = members[0].config
        for member in members[1:]:
            if member.config.labels != first.labels or member.config.preprocess != first.preprocess:
                settings = [(list(c.labels), c.preprocess.to_dict()) for c in (member.config, first)]
                raise ConfigError(
                    f"{member.config.model} has labels and preprocessing {settings[0]}, {first.model} {settings[1]}; "
                    "members must have the same, labels in the same order"
                )
        descriptions = [{"model": member.config.model, "options": dict(member.config.options)} for member in members]
        name = f"ensemble_{get_entry(first.model).preprocessing}"
        model = cls(ClassifierConfig(name, first.labels, first.preprocess, {"members": descriptions}))
        for network, member in zip(cast(Ensemble, model.network).members, members, strict=True):
            network.load_state_dict(member.network.state_dict())
        return model.eval()

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits, (N, num_classes), of normalised pixels, float32, (N, C, H, W)."""
        return self.network(pixel_values)

    @property
    def num_parameters(self) -> int:
        """The number of weights and biases of the network, without batch-norm statistics."""
        return sum(p.numel() for p in self.network.parameters())

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write `config.json` and `model.safetensors`; the tensors have the names of the network, without a prefix."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        content = save(tensors, metadata={"format": "pt"})  # save_file would create the file with mode 0600
        (save_directory / WEIGHTS_FILE).write_bytes(content)
        (save_directory / CONFIG_FILE).write_text(json.dumps(self.config.to_dict(), indent=2) + "\n")

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """A model card from the configuration, which `push_to_hub` publishes; the mixin's own has only placeholders."""
        prep = self.config.preprocess
        text = (
            f"# {self.config.model}\n\n"
            f"Facial-expression classifier for the package emotion_hub: `{self.config.model}`, "
            f"{self.num_parameters:,} parameters.\n\n"
            f"- Input: {prep.size}x{prep.size} pixels, {prep.channels} channel(s), "
            f"preprocessing `{prep.name}` as in `config.json`.\n"
            f"- Outputs, in order: {', '.join(self.labels.labels)}.\n"
            "- Not evaluated yet: see `training.evaluate` and `training.card` of emotion_hub.\n\n"
            "```python\n"
            "from emotion_hub import EmotionPredictor\n\n"
            "predictor = EmotionPredictor.from_pretrained(FOLDER_OR_HUB_ID)\n"
            "```\n\n"
            "It predicts the expression that a face shows, not what a person feels. Inferring emotions at work or in "
            "education is prohibited in the EU (AI Act, Article 5(1)(f)).\n"
        )
        return ModelCard(f"---\n{self._hub_mixin_info.model_card_data.to_yaml()}\n---\n\n{text}")

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin passes unknown keywords on; here they are refused
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
        """The classifier of an embedded name, a folder or a Hub id, in float32 and evaluation mode.

        Raises UnknownModelError for a name that is none of these, CheckpointError when a file is missing, damaged, a
        pickle or of another network, and ConfigError when the configuration breaks a rule.
        """
        where: DownloadOptions = {
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
        except (ValueError, RecursionError) as error:  # deeply nested brackets raise a RecursionError
            raise CheckpointError(f"{CONFIG_FILE} of {str(source)!r} is not JSON: {error}") from error
        config = ClassifierConfig.from_dict(values)
        if local_folder(source) is None and config_path.parent.parent.name == "snapshots":
            where["revision"] = config_path.parent.name  # the commit, so that both files are of the same one
        weights = resolve_file(source, WEIGHTS_FILE, **where)
        with torch.device("meta"):  # allocates no memory: a configuration can describe a network of any size
            expected = create_model(config.model, len(config.labels), **config.options)
        tensors = read_tensors(weights, expected, str(source))
        model = cls(config)
        model.network.load_state_dict(tensors)
        _check_output(model.eval(), str(source))
        return model.to(map_location)


@torch.inference_mode()
def _check_output(model: EmotionClassifier, source: str) -> None:
    """Run the model on extreme faces.

    Raises CheckpointError when a logit is not finite, which finite weights can cause by overflow.
    """
    try:
        logits = model(torch.from_numpy(model.preprocessor.extremes()))
    except RuntimeError as error:
        raise CheckpointError(
            f"{source!r} does not accept faces preprocessed as its configuration says: {first_line(error)}"
        ) from error
    if not torch.isfinite(logits).all():
        raise CheckpointError(
            f"{source!r} returns values that are not finite: its weights are damaged or too large; "
            "get another checkpoint"
        )
