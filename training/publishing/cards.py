"""Model cards of one template: for a checkpoint inside the package, for a repository on the Hub, and for all embedded ones in one page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from emotion_hub.checkpoints import CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import PublishError
from training.publishing.card_sections import FER2013_NAME, accuracy_text, body, data_name, limits, load, report_of

__all__ = [
    "EXAMPLES",
    "FIGURE_FILE",
    "Start",
    "apache_source",
    "check_start",
    "embedded_card",
    "figures_table",
    "front_matter",
    "licence_of",
    "overview",
    "repository_card",
]

#: The architecture's figure, and the widget's examples: file and title, in a repository's folder.
FIGURE_FILE = "architecture.png"
EXAMPLES = {"examples/collins.jpg": "Eileen Collins (NASA, public domain)"}

_TAGS = ["facial-expression-recognition", "emotion-recognition"]
_MIXIN = ["pytorch_model_hub_mixin", "model_hub_mixin"]

#: Whose the ImageNet weights under Apache-2.0 are, by the SHA-256 of their file, and by network and `init` where the record names no file.
APACHE_FILES = {
    "4257da9bb655247eb469b858fd650096ca1df809607874e6bd17fa96a0b34e36": "google-coral's MobileNetV1",
    "04a8bf0bc574a219ca672dcf3512053914b1debf26ff8bd0dea02cb24ae4fea8": "google-coral's MobileNetV2",
}
APACHE_STARTS = {
    ("mobilenetv1_224", "pretrained"): "timm's mobilenetv1_100",
    ("mobilenetv2_224", "pretrained"): "timm's mobilenetv2_100",
    ("mobilenetv2_224", "torchvision-mobilenetv2"): "google-coral's MobileNetV2",
}


@dataclass(frozen=True)
class Start:
    """What only its maker knows of a checkpoint: its weights' licence (an identifier of the Hub's), and whose weights they started from."""

    licence: str
    source: str

    def __post_init__(self) -> None:
        for name, value in (("--licence", self.licence), ("--start-source", self.source)):
            if not value.strip():
                raise PublishError(f"{name} is empty; a card without it tells nobody whether the weights may be used")


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


def front_matter(
    name: str,
    folder: Path,
    report: dict[str, Any],
    *,
    extra_tags: Sequence[str] = (),
    widget: bool = False,
    start: Start | None = None,
) -> str:
    """The metadata block the Hub reads, every figure of the report in its model-index. Weights keep the licence of those they started from."""
    data_tag = ["fer2013"] if data_name(report) == FER2013_NAME else []
    examples = [{"src": src, "example_title": title} for src, title in EXAMPLES.items()]
    data = ModelCardData(
        license=licence_of(folder, start),
        library_name="emotion_hub",
        pipeline_tag="image-classification",
        tags=[*_TAGS, *data_tag, *_MIXIN, *extra_tags],
        model_name=f"emotion_hub {name}",
        eval_results=_results(report),
        **({"widget": examples} if widget else {}),
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(report: dict[str, Any]) -> list[EvalResult]:
    """The report's figures: first the whole split, then the readings that leave images out or read other labels."""
    rows = {"": report, " without exact copies in other splits": report["without_copies"]}
    if "without_near_copies" in report:
        rows[" without exact and near copies"] = report["without_near_copies"]
    if "ferplus" in report:
        rows[", FER+ majority labels"] = report["ferplus"]
    if "ten_crop" in report:
        rows[", ten crops averaged"] = report["ten_crop"]
    name, found = data_name(report), []
    for reading, row in rows.items():
        metrics = [
            ("accuracy", "Accuracy", row["accuracy"], None),
            ("f1", "Macro F1", row["macro_f1"], {"average": "macro"}),
        ]
        metrics += [(key, title, row[key], None) for key, title in _MORE.items() if key in row]
        for label, figures in row.get("per_class", {}).items():
            metrics += [
                (kind, f"{kind.capitalize()} of {label}", figures[kind], None) for kind in ("precision", "recall", "f1")
            ]
        kind = f"{name}{reading}".replace(",", "").replace("+", "plus").replace(" ", "-").lower()
        for metric, title, value, args in metrics:
            found.append(
                EvalResult(
                    task_type="image-classification",
                    task_name="Facial expression recognition",
                    dataset_type=kind,
                    dataset_name=f"{name}{reading}",
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
    sections = f"{body(name, folder, '##')}\n{limits({name: report}, _licence_text({name: folder}))}"
    return f"{front_matter(name, folder, report)}\n\n# emotion_hub {name}\n\n{what}\n\n{use}\n\n{sections}"


def repository_card(
    name: str, folder: Path, repo_id: str, *, timm: bool, package: str, start: Start | None = None
) -> str:
    """The README.md of a repository: `folder` holds the checkpoint with its report; `package` is what pip installs emotion_hub from.

    `start` tells the licence and the origin of weights that this project does not know.
    """
    report, title = report_of(folder), repo_id.split("/")[-1]
    head = front_matter(
        name, folder, report, extra_tags=["onnx", "timm" if timm else "transformers"], widget=True, start=start
    )
    embedded = embedded_checkpoints().get(name) == folder
    sections = (
        f"{body(name, folder, '##', embedded=embedded)}\n{limits({name: report}, _licence_text({name: folder}, start))}"
    )
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

faces = EmotionPredictor.from_pretrained("{repo_id}").predict("photo.jpg")  # through ONNX Runtime; torch is not needed
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
    return "\n".join(
        [*parts, limits({name: report_of(folder) for name, folder in folders.items()}, _licence_text(folders))]
    )


def _licence_text(folders: Mapping[str, Path], start: Start | None = None) -> str:
    if start is not None:
        return f"Code: MIT. Weights: {start.licence}. They started from others: {start.source.strip()}\n"
    if not (kept := {name: source for name, folder in folders.items() if (source := apache_source(folder))}):
        return "Code and weights: MIT."
    names, sources = (" and ".join(dict.fromkeys(texts)) for texts in ((f"`{name}`" for name in kept), kept.values()))
    return f"Code and weights: MIT, but for {names}: fine-tuned from the ImageNet weights of {sources}, under their Apache-2.0 licence."


def licence_of(folder: Path, start: Start | None = None) -> str:
    """The weights' licence, by the Hub's identifier: what `start` says, else Apache-2.0 for those that started from such, else MIT."""
    return start.licence if start is not None else "apache-2.0" if apache_source(folder) else "mit"


def apache_source(folder: Path) -> str:
    """Whose ImageNet weights under Apache-2.0 the checkpoint started from; empty where it did not."""
    return " and ".join(dict.fromkeys(source for _, source in _starts(folder) if source))


def check_start(folder: Path, start: Start | None) -> None:
    """Raises PublishError for a checkpoint that started from weights whose licence is not known here, where `start` does not tell it."""
    if start is None and (unknown := [what for what, source in _starts(folder) if not source]):
        raise PublishError(
            f"{folder.name} started from {' and '.join(unknown)}, whose licence is not known here and may forbid what MIT allows; say under which "
            "licence its weights go with --licence, and whose weights they started from, under which terms, with --start-source"
        )


def _starts(folder: Path) -> list[tuple[str, str]]:
    """For every stage that began from somebody else's weights: how its record names them, and whose they are, empty where that is not known here."""
    stages = load(folder, TRAINING_FILE, f"python -m training.package --run RUN --out {folder}")["stages"]
    found = []
    for stage in [
        stage for stage in stages if "average" not in stage
    ] or stages:  # a mean repeats the recipe of its parts
        init, model, file = stage["recipe"]["init"], stage["recipe"]["model"], stage.get("init")
        if init not in (None, "checkpoint"):
            source = APACHE_FILES.get(file["sha256"], "") if file else APACHE_STARTS.get((model, init), "")
            found.append(
                (f"{file['name']} (SHA-256 {file['sha256'][:8]}…)" if file else f"{init!r} weights for {model}", source)
            )
    return found
