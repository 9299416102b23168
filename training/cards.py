"""Model cards of one template: for a checkpoint inside the package, for a repository on the Hub, and for all embedded ones in one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, embedded_checkpoints
from training.card_sections import accuracy_text, apache, body, limits, report_of

__all__ = ["EXAMPLES", "FIGURE_FILE", "embedded_card", "figures_table", "front_matter", "overview", "repository_card"]

#: The architecture's figure, and the widget's examples: file and title, in a repository's folder.
FIGURE_FILE = "architecture.png"
EXAMPLES = {"examples/collins.jpg": "Eileen Collins (NASA, public domain)"}

_TAGS = ["facial-expression-recognition", "emotion-recognition", "fer2013", "pytorch_model_hub_mixin", "model_hub_mixin"]


def figures_table() -> str:
    """Markdown: one row an embedded checkpoint."""
    reports = {name: report_of(folder) for name, folder in embedded_checkpoints().items()}
    with_ece = any("ece" in report for report in reports.values())
    rows = [
        f"| checkpoint | network | input | parameters | file | PrivateTest accuracy | without exact copies in other splits | macro F1 |{' ECE |' * with_ece}",
        f"|---|---|---|---|---|---|---|---|{'---|' * with_ece}",
    ]
    for name, folder in embedded_checkpoints().items():
        config, report = json.loads((folder / CONFIG_FILE).read_text()), reports[name]
        prep, clean = config["preprocess"], report["without_copies"]
        size = (folder / WEIGHTS_FILE).stat().st_size / 2**20
        rows.append(
            f"| `{name}` | `{config['model']}` | {prep['size']}×{prep['size']}×{prep['channels']} | {report['parameters']:,} | {size:.1f} MB "
            f"| {accuracy_text(report)} | {accuracy_text(clean)} | {report['macro_f1']:.4f} |{_ece(report) * with_ece}"
        )
    return "\n".join(rows)


def _ece(report: dict[str, Any]) -> str:
    return f" {report['ece']:.3f} |" if "ece" in report else " – |"


def front_matter(name: str, folder: Path, report: dict[str, Any], *, extra_tags: Sequence[str] = (), widget: bool = False) -> str:
    """The metadata block the Hub reads, every figure of the report in its model-index. Apache-2.0 weights keep their licence."""
    examples = [{"src": src, "example_title": title} for src, title in EXAMPLES.items()]
    data = ModelCardData(
        license="apache-2.0" if apache(folder) else "mit",
        library_name="emotion_hub",
        pipeline_tag="image-classification",
        tags=[*_TAGS, *extra_tags],
        model_name=f"emotion_hub {name}",
        eval_results=_results(report),
        **({"widget": examples} if widget else {}),
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(report: dict[str, Any]) -> list[EvalResult]:
    """The report's figures: first the whole split, then the readings that leave images out or read other labels."""
    rows = {"FER2013": report, "FER2013 without exact copies in other splits": report["without_copies"]}
    if "without_near_copies" in report:
        rows["FER2013 without exact and near copies"] = report["without_near_copies"]
    if "ferplus" in report:
        rows["FER2013, FER+ majority labels"] = report["ferplus"]
    if "ten_crop" in report:
        rows["FER2013, ten crops averaged"] = report["ten_crop"]
    found = []
    for dataset, row in rows.items():
        metrics = [("accuracy", "Accuracy", row["accuracy"], None), ("f1", "Macro F1", row["macro_f1"], {"average": "macro"})]
        metrics += [(key, title, row[key], None) for key, title in _MORE.items() if key in row]
        for label, figures in row.get("per_class", {}).items():
            metrics += [(kind, f"{kind.capitalize()} of {label}", figures[kind], None) for kind in ("precision", "recall", "f1")]
        kind = "fer2013" if dataset == "FER2013" else "fer2013-" + dataset.split(" ", 1)[1].replace(",", "").replace("+", "plus").replace(" ", "-").lower()
        for metric, title, value, args in metrics:
            found.append(
                EvalResult(
                    task_type="image-classification",
                    task_name="Facial expression recognition",
                    dataset_type=kind,
                    dataset_name=dataset,
                    dataset_split=report["split"],
                    metric_type=metric,
                    metric_name=title,
                    metric_value=round(value, 4),
                    metric_args=args,
                )
            )
    return found


_MORE = {"top2_accuracy": "Top-2 accuracy", "log_loss": "Log loss", "ece": "Expected calibration error"}


def embedded_card(name: str) -> str:
    """The README.md of one embedded checkpoint."""
    folder = embedded_checkpoints()[name]
    report, what = report_of(folder), _what(folder)
    use = f'```python\nfrom emotion_hub import EmotionPredictor\n\nEmotionPredictor.from_pretrained("{name}").predict("photo.jpg")\n```'
    sections = f"{body(name, folder, '##')}\n{limits({name: report}, {name: folder})}"
    return f"{front_matter(name, folder, report)}\n\n# emotion_hub {name}\n\n{what}\n\n{use}\n\n{sections}"


def repository_card(name: str, folder: Path, repo_id: str, *, timm: bool, package: str) -> str:
    """The README.md of a repository: `folder` holds the checkpoint with its report; `package` is what pip installs emotion_hub from."""
    report, title = report_of(folder), repo_id.split("/")[-1]
    head = front_matter(name, folder, report, extra_tags=["onnx", "timm" if timm else "transformers"], widget=True)
    embedded = embedded_checkpoints().get(name) == folder
    sections = f"{body(name, folder, '##', embedded=embedded)}\n{limits({name: report}, {name: folder})}"
    figure = f"## Architecture\n![{title}: what each part of the network computes]({FIGURE_FILE})\n"
    return f"{head}\n\n# {title}\n\n{_what(folder)}\n\n{_ways(repo_id, timm, package)}\n{figure}\n{sections}"


def _what(folder: Path) -> str:
    config, report = json.loads((folder / CONFIG_FILE).read_text()), report_of(folder)
    return f"Which expression does a face show? `{config['model']}`, {report['parameters']:,} parameters, safetensors, for the package emotion_hub."


def _ways(repo_id: str, timm: bool, package: str) -> str:
    remote = "" if timm else ", trust_remote_code=True"
    lacks = (
        "The two readers below know timm's preprocessing, not ours: give them a gray 48×48 face (it is what the network was trained on); other pictures "
        "lack the detour through 48 gray pixels and the padding of what is not square, and get other probabilities.\n\n"
        if timm
        else "The code that comes with it is cut out of emotion_hub's own modules. The whole picture is taken as the face.\n\n"
    )
    also = f'\nimport timm\n\nnetwork = timm.create_model("hf-hub:{repo_id}", pretrained=True).eval()\n' if timm else ""
    return f"""## Use
With emotion_hub (`pip install "{package}"`), which finds the faces in a photo:

```python
from emotion_hub import EmotionPredictor

faces = EmotionPredictor.from_pretrained("{repo_id}").predict("photo.jpg")  # backend="onnx" predicts without torch
```

Without it:

{lacks}```python
from transformers import pipeline

answers = pipeline("image-classification", model="{repo_id}"{remote})("face.png", top_k=7)
{also}```

`model.onnx` takes float32 `input` (N, channels, size, size), prepared as its metadata say, and gives `logits`. `handler.py` serves an Inference
Endpoint: bytes, or JSON `{{"inputs": base64, "parameters": {{"top_k", "function_to_apply", "whole"}}}}`, to `[{{"label", "score"}}]`.
"""


def overview() -> str:
    """`model_card.md`: all embedded checkpoints in one document."""
    folders = embedded_checkpoints()
    parts = ["# Model card: the checkpoints inside emotion_hub", "", figures_table(), ""]
    for name, folder in folders.items():
        parts += [f"## {name}", "", body(name, folder, "###")]
    return "\n".join([*parts, limits({name: report_of(folder) for name, folder in folders.items()}, folders)])
