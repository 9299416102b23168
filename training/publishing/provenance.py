"""Provenance of checkpoints: data and weights they derive from, with terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.publishing.card_summary import training_sentence
from training.publishing.checkpoint_files import FER2013_NAME, data_name, record_of, report_of
from training.publishing.licences import known_starts, licence_of

__all__ = ["SOURCES", "Source", "base_models", "provenance_page", "sources_of"]


@dataclass(frozen=True)
class Source:
    """Data or weights of others: what it is, under which terms it is used, and where that is stated."""

    what: str
    terms: str
    reference: str


#: What the package derives from, by the name that records and cards use.
SOURCES = {
    "FER2013": Source(
        "35,887 gray faces of 48×48 pixels from a web search, each with one of seven labels (Goodfellow et al. 2013). "
        "Trains every checkpoint; `validation` chooses epochs and temperature, `test` (PrivateTest) measures.",
        "Released for the ICML 2013 contest, for research and education. The copyright of the pictures is not cleared: "
        "none of them is in this repository. Mean faces of at least 40 pictures each serve as SHAP's background.",
        "https://arxiv.org/abs/1307.0414",
    ),
    "FER+": Source(
        "Ten votes per FER2013 image (Barsoum et al. 2016). Reports compare with their majority; no checkpoint was "
        "trained on them.",
        "MIT.",
        "https://arxiv.org/abs/1608.01041",
    ),
    "the ImageNet weights of google-coral's MobileNetV1": Source(
        "MobileNetV1 1.0 for 1,000 classes, de-quantised from google-coral/test_data.",
        "Apache-2.0 for the weights. ImageNet's pictures are for non-commercial research and education.",
        "https://github.com/google-coral/test_data",
    ),
    "the ImageNet weights of google-coral's MobileNetV2": Source(
        "MobileNetV2 1.0 for 1,000 classes, de-quantised from google-coral/test_data.",
        "Apache-2.0 for the weights. ImageNet's pictures are for non-commercial research and education.",
        "https://github.com/google-coral/test_data",
    ),
    "the ImageNet weights of timm's mobilenetv1_100": Source(
        "MobileNetV1 1.0 for 1,000 classes.",
        "Apache-2.0 for the weights. ImageNet's pictures are for non-commercial research and education.",
        "https://huggingface.co/timm/mobilenetv1_100.ra4_e3600_r224_in1k",
    ),
    "the ImageNet weights of timm's mobilenetv2_100": Source(
        "MobileNetV2 1.0 for 1,000 classes.",
        "Apache-2.0 for the weights. ImageNet's pictures are for non-commercial research and education.",
        "https://huggingface.co/timm/mobilenetv2_100.ra_in1k",
    ),
    "the VGGFace2 weights of HSE_FaceRec's MobileNetV1": Source(
        "MobileNetV1 1.0 trained to identify 9,000 people of VGGFace2, then on age and gender (A. Savchenko), taken "
        "from the npm package @vladmandic/human.",
        "Apache-2.0 for the weights, MIT for the package. VGGFace2's pictures were released for research.",
        "https://github.com/HSE-asavchenko/HSE_FaceRec_tf",
    ),
    "YuNet": Source(
        "The face detector `emotion_hub/detectors/yunet.onnx` (Wu et al. 2023), trained on WIDER FACE; it finds faces "
        "and is not part of a checkpoint.",
        "MIT for the weights. WIDER FACE's pictures are for non-commercial research.",
        "https://github.com/opencv/opencv_zoo",
    ),
}


def sources_of(folder: Path) -> list[str]:
    """The keys of SOURCES from which a checkpoint's weights derive, without those of its teachers."""
    data = [FER2013_NAME] if data_name(report_of(folder)) == FER2013_NAME else []
    return data + [str(source) for source in known_starts(folder)]


def base_models(folder: Path) -> list[str]:
    """Ids on the Hub of the weights that a checkpoint was fine-tuned from; empty where they are not on the Hub."""
    return [source.base_model for source in known_starts(folder) if source.base_model]


def provenance_page(folders: Mapping[str, Path]) -> str:
    """Markdown, docs/provenance.md: per checkpoint its data, starting weights and teachers; then each source's terms.

    Raises CheckpointError for a checkpoint without a report or training record.
    """
    lines = [
        "# Provenance",
        "",
        "Which data and weights each checkpoint derives from, and under which terms. Written by "
        "`python -m training.card` from the training records (`training.json`).",
        "",
        "| checkpoint | licence of the weights | data | starting weights | teachers |",
        "|---|---|---|---|---|",
    ]
    used = ["FER2013", "FER+", "YuNet"]
    for name, folder in folders.items():
        derived = sources_of(folder)
        starts = [source for source in derived if source != FER2013_NAME]
        data = f"{data_name(report_of(folder))}, training images"
        start = " and ".join(starts) or "random"
        used += starts
        lines.append(f"| `{name}` | {licence_of(folder)} | {data} | {start} | {_teachers(folder)} |")
    lines += [
        "",
        "A teacher is an earlier network of this project, whose probabilities were part of the targets; the digits are "
        "the start of its file's SHA-256. A checkpoint with a teacher also derives from what its teacher derives from.",
        "",
        *(f"- `{name}`: {training_sentence(folder, report_of(folder))}" for name, folder in folders.items()),
        "",
        "## Terms of the sources",
        "",
        "| source | what it is | terms | reference |",
        "|---|---|---|---|",
        *_rows(dict.fromkeys(used)),
        "",
        "Photos in `emotion_hub/example_photos` and their licences are listed in [NOTICE](../NOTICE). Licences of "
        "weights do not clear the rights in the pictures that they were trained on. Whether a use is allowed depends "
        "on the country and the purpose: get legal advice before a commercial use.",
    ]
    return "\n".join(lines) + "\n"


def _teachers(folder: Path) -> str:
    stages = record_of(folder)["stages"]
    teachers = dict.fromkeys(f"`{t['name']}` ({t['sha256'][:8]}…)" for s in stages for t in s.get("teachers") or [])
    return ", ".join(teachers) or "none"


def _rows(names: Iterable[str]) -> list[str]:
    return [f"| {name} | {SOURCES[name].what} | {SOURCES[name].terms} | {SOURCES[name].reference} |" for name in names]
