"""Model cards of embedded checkpoints and repositories, and their overview."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from emotion_hub.checkpoints import embedded_checkpoints
from training.evaluation.report_types import Report
from training.publishing.card_sections import body, limits
from training.publishing.card_summary import summary_text, title
from training.publishing.card_usage import embedded_usage, repository_usage
from training.publishing.checkpoint_files import FER2013_NAME, data_name, report_of
from training.publishing.figures import figures_table
from training.publishing.licences import Start, licence_of, licence_text
from training.publishing.provenance import base_models

__all__ = [
    "EXAMPLES",
    "FIGURE_FILE",
    "embedded_card",
    "front_matter",
    "overview",
    "repository_card",
]

#: Files of a repository: the figure of the architecture, and the widget's examples with their titles.
FIGURE_FILE = "architecture.png"
EXAMPLES = {"examples/collins.jpg": "Eileen Collins (NASA, public domain)"}

_TAGS = ["facial-expression-recognition", "emotion-recognition"]
_MIXIN = ["pytorch_model_hub_mixin", "model_hub_mixin"]


def front_matter(
    name: str,
    folder: Path,
    report: Report,
    *,
    extra_tags: Sequence[str] = (),
    widget: bool = False,
    start: Start | None = None,
) -> str:
    """The metadata block of a card, with the headline figures of the report in its model-index.

    Fine-tuned weights keep the licence of the weights they started from.
    """
    data_tag = ["fer2013"] if data_name(report) == FER2013_NAME else []
    examples = [{"src": src, "example_title": title} for src, title in EXAMPLES.items()]
    data = ModelCardData(
        base_model=base_models(folder) or None,
        datasets=data_tag or None,
        language="en",
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
    """The report's headline figures; the card's text has the others."""
    figures = [("accuracy", "Accuracy", report["accuracy"]), ("f1", "Macro F1", report["macro_f1"])]
    if "ece" in report:
        figures.append(("ece", "Expected calibration error", report["ece"]))
    name = data_name(report)
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type=name.replace(" ", "-").lower(),
            dataset_name=name,
            dataset_split=report["split"],
            metric_type=metric,
            metric_name=title,
            metric_value=round(value, 4),
            metric_args={"average": "macro"} if title == "Macro F1" else None,
        )
        for metric, title, value in figures
    ]


def embedded_card(name: str) -> str:
    """The README.md of an embedded checkpoint."""
    folder = embedded_checkpoints()[name]
    report, licence = report_of(folder), licence_text({name: folder})
    return (
        f"{front_matter(name, folder, report)}\n\n# {title(f'emotion_hub {name}', folder)}\n\n"
        f"{summary_text(folder, report)}\n\n{embedded_usage(name)}\n\n"
        f"{body(name, folder, '##')}\n{limits({name: report}, licence)}"
    )


def repository_card(
    name: str, folder: Path, repo_id: str, *, timm: bool, package: str, start: Start | None = None
) -> str:
    """The README.md of a repository.

    `folder` holds the checkpoint with its report. `package` is the requirement from which pip installs
    emotion_hub. `start` states licence and origin of weights that this project does not know.
    """
    report, licence = report_of(folder), licence_text({name: folder}, start)
    short = repo_id.split("/")[-1]
    head = front_matter(
        name, folder, report, extra_tags=["onnx", "timm" if timm else "transformers"], widget=True, start=start
    )
    embedded = embedded_checkpoints().get(name) == folder
    figure = f"## Architecture\n![{short}: what each part of the network computes]({FIGURE_FILE})\n"
    return (
        f"{head}\n\n# {title(short, folder)}\n\n{summary_text(folder, report, start)}\n\n"
        f"{repository_usage(repo_id, folder, timm, package)}\n{figure}\n"
        f"{body(name, folder, '##', embedded=embedded)}\n{limits({name: report}, licence)}"
    )


def overview() -> str:
    """The text of `model_card.md`: all embedded checkpoints in one document."""
    folders = embedded_checkpoints()
    parts = ["# Model card: the checkpoints in emotion_hub", "", figures_table(), ""]
    for name, folder in folders.items():
        parts += [f"## {name}", "", body(name, folder, "###")]
    return "\n".join(
        [*parts, limits({name: report_of(folder) for name, folder in folders.items()}, licence_text(folders))]
    )
