"""Write checkpoint folders that transformers or timm can load.

`EmotionClassifier.from_pretrained` loads each of these folders too. transformers needs `trust_remote_code=True` for a
folder of `write_transformers_files`; the docstring of `adapter` lists the differences of its pipeline. A folder of
`write_timm_files` is read by timm, and by transformers without remote code; both lack parts of our preprocessing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, resolve_file
from emotion_hub.errors import ConfigError
from emotion_hub.interop.standalone import AUTO_MAP, write_code
from emotion_hub.models.classifier import EmotionClassifier

__all__ = ["is_timm_network", "write_timm_files", "write_transformers_files"]

PROCESSOR_FILE = "preprocessor_config.json"


def write_transformers_files(classifier_or_folder: EmotionClassifier | str | Path, folder: str | Path) -> list[Path]:
    """The paths of the written files: weights, configuration, configuration of the image processor, and code.

    The weights of a classifier are saved; those of an embedded name, a folder or a Hub id are copied byte for byte
    (`folder` may be the same folder). Raises the errors of `EmotionClassifier.from_pretrained`.
    """
    classifier, folder = _classifier(classifier_or_folder), Path(folder)
    weights = _weights(classifier_or_folder, folder)
    config = classifier.config.to_dict()
    # without "dtype", transformers loads the type of the stored tensors; `EmotionClassifier` loads float32
    shared = {
        "architectures": [_class_of("AutoModelForImageClassification")],
        "auto_map": AUTO_MAP,
        "dtype": "float32",
        **config,
    }
    processor = {
        "auto_map": {"AutoImageProcessor": AUTO_MAP["AutoImageProcessor"]},
        "image_processor_type": _class_of("AutoImageProcessor"),
        "preprocess": config["preprocess"],
    }
    return [
        weights,
        _write_json(folder / CONFIG_FILE, shared),
        _write_json(folder / PROCESSOR_FILE, processor),
        write_code(folder, classifier.config),
    ]


def is_timm_network(classifier: EmotionClassifier) -> bool:
    """Whether `timm.create_model` alone builds the network, which `write_timm_files` needs."""
    return type(classifier.network).__module__.startswith("timm.")


def write_timm_files(
    classifier_or_folder: EmotionClassifier | str | Path, folder: str | Path, *, licence: str = "mit"
) -> list[Path]:
    """The paths of the written files: the weights, and a `config.json` with timm's keys and ours.

    `timm.create_model("local-dir:FOLDER", pretrained=True)`, `"hf-hub:OWNER/NAME"` and transformers' pipeline, without
    remote code, return the same logits for the same pixel values. timm's preprocessing has no resize to a gray 48-pixel
    face, so that only a gray 48x48 image gets the same pixel values; and it crops an image that is not square to its
    centre, where emotion_hub pads it.

    Raises ConfigError for a network that `timm.create_model` does not build, and for a folder of
    `write_transformers_files`, because the new configuration would make it unreadable for transformers.
    """
    classifier, folder = _classifier(classifier_or_folder), Path(folder)
    if not is_timm_network(classifier):
        raise ConfigError(
            f"{classifier.config.model} is not a network of timm; "
            "use write_transformers_files, which copies the network's code"
        )
    existing = folder / CONFIG_FILE
    if existing.is_file() and "auto_map" in json.loads(existing.read_text(encoding="utf-8")):
        raise ConfigError(
            f"{folder} has a {CONFIG_FILE} for transformers' remote code; write timm's files to a folder of their own"
        )
    pretrained_cfg: dict[str, Any] = getattr(classifier.network, "pretrained_cfg", None) or {}
    prep, labels = classifier.config.preprocess, list(classifier.labels.labels)
    own = classifier.config.to_dict()
    config: dict[str, Any] = {
        **{key: own[key] for key in ("model", "labels", "preprocess", "options", "prediction_sets") if key in own},
        "architecture": pretrained_cfg["architecture"],
        "num_classes": len(labels),
        "num_features": classifier.network.num_features,
        "label_names": labels,
        "dtype": "float32",  # as in write_transformers_files
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [prep.channels, prep.size, prep.size],
            "fixed_input_size": False,
            "interpolation": prep.upsample,
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(prep.mean),
            "std": list(prep.std),
            "num_classes": len(labels),
            "first_conv": pretrained_cfg["first_conv"],
            "classifier": pretrained_cfg["classifier"],
            "license": licence,
        },
    }
    return [_weights(classifier_or_folder, folder), _write_json(folder / CONFIG_FILE, config)]


def _classifier(source: EmotionClassifier | str | Path) -> EmotionClassifier:
    return source if isinstance(source, EmotionClassifier) else EmotionClassifier.from_pretrained(source)


def _weights(source: EmotionClassifier | str | Path, folder: Path) -> Path:
    """The path of the weights in `folder`, after a classifier was saved or a file was copied there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_FILE
    if isinstance(source, EmotionClassifier):
        source._save_pretrained(folder)
    elif (stored := resolve_file(source, WEIGHTS_FILE)).resolve() != path.resolve():
        shutil.copyfile(stored, path)
    return path


def _class_of(loader: str) -> str:
    return AUTO_MAP[loader].split(".")[1]


def _write_json(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8", newline="\n")
    return path
