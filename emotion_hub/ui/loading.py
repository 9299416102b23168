"""Model loading for the demo: from a folder or Hub id to a predictor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import CONFIG_FILE, REPORT_FILE, WEIGHTS_FILE, embedded_checkpoints, file_hash
from emotion_hub.errors import CheckpointError, EmotionHubError, InputError
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.preprocess import PreprocessConfig
from emotion_hub.ui.choices import Choice, role_of
from emotion_hub.ui.downloads import CARD_FILE, MAX_TEXT, public_files, trusted_files

__all__ = ["LoadedModel", "load"]


@dataclass(frozen=True)
class LoadedModel:
    """A predictor that is ready, with what the page shows of it.

    `revision` is the commit on the Hub, `card` is Markdown, `figures` are those of its report.
    """

    name: str
    predictor: EmotionPredictor
    network: str
    revision: str | None = None
    card: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def preprocess(self) -> PreprocessConfig:
        """The preprocessing of the network's input."""
        return self.predictor.preprocessor.config

    @property
    def role(self) -> str:
        """The side of a comparison that it belongs to."""
        return role_of(self.preprocess)


def load(choice: Choice, report: Callable[[str], None] = lambda line: None) -> LoadedModel:
    """The model of a choice; `report` receives a line of text on each step.

    Raises EmotionHubError, whose message names the choice and not the server's folders.
    """
    if choice.problem:
        raise InputError(choice.problem)
    revision = None
    if choice.repo_id:
        folder = trusted_files(choice, report) if choice.trusted else public_files(choice, report)
        revision = folder.name
    elif choice.folder is not None:
        folder = choice.folder
    else:
        raise InputError(f"{choice.name!r} names neither a folder nor a Hub id")
    report("reading the weights")
    try:
        return _load_folder(choice, folder, revision)
    except EmotionHubError as error:
        raise type(error)(str(error).replace(str(folder), choice.name)) from error


def _load_folder(choice: Choice, folder: Path, revision: str | None) -> LoadedModel:
    if embedded_checkpoints().get(choice.name) == folder:
        predictor = embedded_predictor(choice.name)
    else:
        predictor = EmotionPredictor.from_pretrained(folder).with_name(choice.name)
    figures = _report_figures(folder, list(predictor.labels.labels))
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8", errors="replace")[:MAX_TEXT] if card.is_file() else ""
    network = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["model"]
    return LoadedModel(choice.name, predictor, network, revision, text, figures)


def _report_figures(folder: Path, labels: list[str]) -> dict[str, Any]:
    """The figures of the report beside the weights; empty where it is missing, invalid or of other weights.

    Raises CheckpointError for a report with the same weights and another order of labels.
    """
    path = folder / REPORT_FILE
    if not path.is_file() or path.stat().st_size > MAX_TEXT:
        return {}
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(report, dict) or report.get("sha256") != file_hash(folder / WEIGHTS_FILE):
        return {}
    if report.get("labels", labels) != labels:
        raise CheckpointError(
            f"{REPORT_FILE} measured these weights with labels {report['labels']}, {CONFIG_FILE} has {labels}; one of"
            " them was edited"
        )
    figures: dict[str, Any] = {
        key: report[key]
        for key, is_valid in (("accuracy", _is_share), ("n", _is_count), ("split", _is_text))
        if is_valid(report.get(key))
    }
    bounds = report["interval"].get("accuracy") if isinstance(report.get("interval"), dict) else None
    if isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_share, bounds)):
        figures["interval"] = tuple(bounds)
    return figures | {"reliability": _reliability(report.get("reliability"))}


def _reliability(table: Any) -> list[dict[str, float]]:
    """The rows of a report's reliability table that have faces: {"from", "to", "n", "accuracy"}.

    `from` and `to` bound the confidences of a row. Empty for a table of another form.
    """
    rows, start = [], 0.0
    for row in table if isinstance(table, list) else []:
        if not isinstance(row, dict) or not (_is_share(row.get("to")) and _is_count(row.get("n"))):
            return []
        if row["n"]:
            if not _is_share(row.get("accuracy")):
                return []
            rows.append({"from": start, "to": row["to"], "n": row["n"], "accuracy": row["accuracy"]})
        start = row["to"]
    return rows


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
