"""Files for other libraries beside our weights: `config.json` and `model.safetensors` stay the ones that `EmotionClassifier` reads.

A folder of `write_transformers_files` serves two readers, `EmotionClassifier.from_pretrained` and transformers with
`trust_remote_code=True`; what the pipeline does of its own is said at the top of `adapter`. A folder of `write_timm_files` serves our reader,
timm, and transformers without remote code; the last two lack our preprocessing, see there.
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
    """The paths written: configuration, image processor's configuration, code and weights, for our reader and transformers' at once.

    A classifier's weights are saved as it saves them; those of an embedded name, a folder or a Hub id are copied as they are (`folder`
    may be the same one). Raises what `EmotionClassifier.from_pretrained` raises.
    """
    classifier, folder = _classifier(classifier_or_folder), Path(folder)
    weights = _weights(classifier_or_folder, folder)
    config = classifier.config.to_dict()
    # "auto" would give the type of the stored tensors; like our reader, everyone gets float32 unless they ask for less
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
        _json(folder / CONFIG_FILE, shared),
        _json(folder / PROCESSOR_FILE, processor),
        write_code(folder, classifier.config),
    ]


def is_timm_network(classifier: EmotionClassifier) -> bool:
    """Whether `timm.create_model` alone builds the network, so that `write_timm_files` may be used."""
    return type(classifier.network).__module__.startswith("timm.")


def write_timm_files(
    classifier_or_folder: EmotionClassifier | str | Path, folder: str | Path, *, licence: str = "mit"
) -> list[Path]:
    """The paths written: a `config.json` with timm's keys and ours, and the weights, whose names are timm's already.

    `timm.create_model("local-dir:FOLDER", pretrained=True)`, `"hf-hub:OWNER/NAME"` and transformers' pipeline, without remote code, give the
    logits of our prepared pixels. What timm's preprocessing cannot say: the gray 48-pixel face that every picture passes first (a 48x48 gray
    picture comes out equal, colours and other sizes do not), and the padding of a picture that is not square (its middle is cut out instead).

    Raises ConfigError for a network that `timm.create_model` does not build, and for a folder of `write_transformers_files`, whose readers
    would be lost.
    """
    classifier, folder = _classifier(classifier_or_folder), Path(folder)
    theirs: dict[str, Any] = getattr(classifier.network, "pretrained_cfg", None) or {}
    if not is_timm_network(classifier):
        raise ConfigError(
            f"{classifier.config.model} is no network of timm's own; use write_transformers_files, which copies the network's code"
        )
    if (folder / CONFIG_FILE).is_file() and "auto_map" in json.loads(
        (folder / CONFIG_FILE).read_text(encoding="utf-8")
    ):
        raise ConfigError(
            f"{folder} has a {CONFIG_FILE} for transformers' remote code; write timm's files to a folder of their own"
        )
    prep, labels = classifier.config.preprocess, list(classifier.labels.labels)
    own = classifier.config.to_dict()
    config = {
        **{key: own[key] for key in ("model", "labels", "preprocess", "options")},
        "architecture": theirs["architecture"],
        "num_classes": len(labels),
        "num_features": classifier.network.num_features,
        "label_names": labels,
        "dtype": "float32",  # for transformers; see above
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
            "first_conv": theirs["first_conv"],
            "classifier": theirs["classifier"],
            "license": licence,
        },
    }
    return [_weights(classifier_or_folder, folder), _json(folder / CONFIG_FILE, config)]


def _classifier(source: EmotionClassifier | str | Path) -> EmotionClassifier:
    return source if isinstance(source, EmotionClassifier) else EmotionClassifier.from_pretrained(source)


def _weights(source: EmotionClassifier | str | Path, folder: Path) -> Path:
    """The weights in `folder`: a classifier's saved, a file copied byte for byte."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_FILE
    if isinstance(source, EmotionClassifier):
        source._save_pretrained(folder)
    elif (stored := resolve_file(source, WEIGHTS_FILE)).resolve() != path.resolve():
        shutil.copyfile(stored, path)
    return path


def _class_of(loader: str) -> str:
    return AUTO_MAP[loader].split(".")[1]


def _json(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8", newline="\n")
    return path
