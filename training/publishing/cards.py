"""Model cards of embedded checkpoints and repositories, and their overview."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, embedded_checkpoints
from training.evaluation.report_types import Figures, Report
from training.publishing.card_sections import accuracy_text, body, limits
from training.publishing.checkpoint_files import FER2013_NAME, data_name, report_of
from training.publishing.licences import Start, licence_of, licence_text

__all__ = [
    "EXAMPLES",
    "FIGURE_FILE",
    "embedded_card",
    "figures_table",
    "front_matter",
    "overview",
    "repository_card",
]

#: Files of a repository: the figure of the architecture, and the widget's examples with their titles.
FIGURE_FILE = "architecture.png"
EXAMPLES = {"examples/collins.jpg": "Eileen Collins (NASA, public domain)"}

_TAGS = ["facial-expression-recognition", "emotion-recognition"]
_MIXIN = ["pytorch_model_hub_mixin", "model_hub_mixin"]


def figures_table() -> str:
    """Markdown: one row per embedded checkpoint."""
    reports = {name: report_of(folder) for name, folder in embedded_checkpoints().items()}
    with_ece = any("ece" in report for report in reports.values())
    rows = [
        "| checkpoint | network | input | parameters | file | PrivateTest accuracy | without exact copies in "
        "other splits "
        f"| macro F1 |{' ECE |' * with_ece}",
        f"|---|---|---|---|---|---|---|---|{'---|' * with_ece}",
    ]
    for name, folder in embedded_checkpoints().items():
        config, report = json.loads((folder / CONFIG_FILE).read_text()), reports[name]
        prep, clean = config["preprocess"], report["without_copies"]
        size = (folder / WEIGHTS_FILE).stat().st_size / 2**20
        rows.append(
            f"| `{name}` | `{config['model']}` | {prep['size']}×{prep['size']}×{prep['channels']} | "
            f"{report['parameters']:,} | {size:.1f} MB "
            f"| {accuracy_text(report)} | {accuracy_text(clean)} | {report['macro_f1']:.4f} |{_ece(report) * with_ece}"
        )
    return "\n".join(rows)


def _ece(report: Report) -> str:
    return f" {report['ece']:.3f} |" if "ece" in report else " – |"


def front_matter(
    name: str,
    folder: Path,
    report: Report,
    *,
    extra_tags: Sequence[str] = (),
    widget: bool = False,
    start: Start | None = None,
) -> str:
    """The metadata block of a card, with every figure of the report in its model-index.

    Fine-tuned weights keep the licence of the weights they started from.
    """
    data_tag = ["fer2013"] if data_name(report) == FER2013_NAME else []
    examples = [{"src": src, "example_title": title} for src, title in EXAMPLES.items()]
    data = ModelCardData(
        license=licence_of(folder, start),
        library_name="emotion_hub",
        pipeline_tag="image-classification",
        tags=[*_TAGS, *data_tag, *_MIXIN, *extra_tags],
        model_name=f"emotion_hub {name}",
        eval_results=_results(report),
        widget=examples if widget else None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(report: Report) -> list[EvalResult]:
    """The report's figures: of the whole split, then without copies, against FER+ labels and with ten crops."""
    rows: dict[str, Figures] = {"": report, " without exact copies in other splits": report["without_copies"]}
    if "without_near_copies" in report:
        rows[" without exact and near copies"] = report["without_near_copies"]
    if "ferplus" in report:
        rows[", FER+ majority labels"] = report["ferplus"]
    if "ten_crop" in report:
        rows[", ten crops averaged"] = report["ten_crop"]
    name = data_name(report)
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type=f"{name}{suffix}".replace(",", "").replace("+", "plus").replace(" ", "-").lower(),
            dataset_name=f"{name}{suffix}",
            dataset_split=report["split"],
            metric_type=metric,
            metric_name=title,
            metric_value=round(value, 4),
            metric_args={"average": "macro"} if title == "Macro F1" else None,
        )
        for suffix, row in rows.items()
        for metric, title, value in _metrics(row)
    ]


def _metrics(figures: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """(type, title, value) of every metric among these figures."""
    metrics = [("accuracy", "Accuracy", figures["accuracy"]), ("f1", "Macro F1", figures["macro_f1"])]
    metrics += [(key, title, figures[key]) for key, title in _MORE.items() if key in figures]
    return metrics + [
        (kind, f"{kind.capitalize()} of {label}", row[kind])
        for label, row in figures.get("per_class", {}).items()
        for kind in ("precision", "recall", "f1")
    ]


_MORE = {"top2_accuracy": "Top-2 accuracy", "log_loss": "Log loss", "ece": "Expected calibration error"}


def embedded_card(name: str) -> str:
    """The README.md of an embedded checkpoint."""
    folder = embedded_checkpoints()[name]
    report = report_of(folder)
    use = (
        "```python\nfrom emotion_hub import EmotionPredictor\n\n"
        f'EmotionPredictor.from_pretrained("{name}").predict("photo.jpg")\n```'
    )
    sections = f"{body(name, folder, '##')}\n{limits({name: report}, licence_text({name: folder}))}"
    return (
        f"{front_matter(name, folder, report)}\n\n# emotion_hub {name}\n\n{_description(folder)}\n\n{use}\n\n{sections}"
    )


def repository_card(
    name: str, folder: Path, repo_id: str, *, timm: bool, package: str, start: Start | None = None
) -> str:
    """The README.md of a repository.

    `folder` holds the checkpoint with its report. `package` is the requirement from which pip installs
    emotion_hub. `start` states licence and origin of weights that this project does not know.
    """
    report, title = report_of(folder), repo_id.split("/")[-1]
    head = front_matter(
        name, folder, report, extra_tags=["onnx", "timm" if timm else "transformers"], widget=True, start=start
    )
    embedded = embedded_checkpoints().get(name) == folder
    sections = (
        f"{body(name, folder, '##', embedded=embedded)}\n{limits({name: report}, licence_text({name: folder}, start))}"
    )
    figure = f"## Architecture\n![{title}: what each part of the network computes]({FIGURE_FILE})\n"
    return f"{head}\n\n# {title}\n\n{_description(folder)}\n\n{_usage(repo_id, timm, package)}\n{figure}\n{sections}"


def _description(folder: Path) -> str:
    config, report = json.loads((folder / CONFIG_FILE).read_text()), report_of(folder)
    return (
        f"Facial expression recognition with `{config['model']}`, {report['parameters']:,} parameters, as safetensors, "
        "for the package emotion_hub."
    )


def _usage(repo_id: str, timm: bool, package: str) -> str:
    remote = "" if timm else ", trust_remote_code=True"
    notes = "The code in this repository is taken from emotion_hub's modules. The whole picture is used as the face."
    timm_code = ""
    if timm:
        notes = (
            "The two libraries below apply timm's preprocessing, which neither reduces a picture to 48 gray pixels nor "
            "pads it to a square. Give them a gray 48×48 face, as in training; other pictures get other probabilities "
            "than with emotion_hub."
        )
        timm_code = f'\nimport timm\n\nnetwork = timm.create_model("hf-hub:{repo_id}", pretrained=True).eval()\n'
    return f"""## Use
With emotion_hub (`pip install "{package}"`), which detects the faces in a photo:

```python
from emotion_hub import EmotionPredictor

faces = EmotionPredictor.from_pretrained("{repo_id}").predict("photo.jpg")  # with ONNX Runtime, without torch
```

Without emotion_hub:

{notes}

```python
from transformers import pipeline

answers = pipeline("image-classification", model="{repo_id}"{remote})("face.png", top_k=7)
{timm_code}```

`model.onnx` has the input `input`, float32 (N, channels, size, size), preprocessed as its metadata describe, and the
output `logits`. `handler.py` is the handler of an Inference Endpoint: it accepts bytes, or JSON
`{{"inputs": base64, "parameters": {{"top_k", "function_to_apply", "whole"}}}}`, and returns `[{{"label", "score"}}]`.
"""


def overview() -> str:
    """The text of `model_card.md`: all embedded checkpoints in one document."""
    folders = embedded_checkpoints()
    parts = ["# Model card: the checkpoints in emotion_hub", "", figures_table(), ""]
    for name, folder in folders.items():
        parts += [f"## {name}", "", body(name, folder, "###")]
    return "\n".join(
        [*parts, limits({name: report_of(folder) for name, folder in folders.items()}, licence_text(folders))]
    )
