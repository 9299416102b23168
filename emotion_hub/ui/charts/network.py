"""Section of one network: facts, charts, model card."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from emotion_hub.ui.charts.confusion import confusion_section
from emotion_hub.ui.charts.labels import label_section, set_section
from emotion_hub.ui.charts.records import NetworkRecord
from emotion_hub.ui.charts.reliability import reliability_section
from emotion_hub.ui.charts.robustness import robustness_section
from emotion_hub.ui.charts.tables import interval, megabytes, percent
from emotion_hub.ui.charts.training import training_section
from emotion_hub.ui.html.basics import definitions, fold
from emotion_hub.ui.model_card import safe_markdown

__all__ = ["network_section"]


def network_section(record: NetworkRecord) -> str:
    """A closed block with everything that is known about the network."""
    name, report = record.name, record.report
    parts = [("Facts", f'<dl class="eh-facts">{definitions(_facts(record))}</dl>')]
    if report:
        parts += [
            ("Which labels it confuses", confusion_section(report)),
            ("What its confidence is worth", reliability_section(name, report)),
            ("Prediction sets", set_section(name, report)),
            ("Degraded faces", robustness_section(name, report)),
            ("Figures per label", label_section(name, report)),
        ]
    else:
        parts.append(("Measurements", "<p>Not measured: no report lies beside this network.</p>"))
    parts.append(("How it was trained", training_section(name, record.training)))
    body = "".join(f"<section><h4>{title}</h4>{html}</section>" for title, html in parts)
    if record.card:
        body += fold(f"Model card of {escape(name)}", safe_markdown(record.card, heading=4), name="card")
    return (
        f'<details class="eh-net {record.side_class}" data-network="{escape(name)}"><summary><h3>'
        f'<span class="eh-dot"></span>{escape(name)}</h3><span>{escape(_summary(record))}</span></summary>'
        f"<div>{body}</div></details>"
    )


def _summary(record: NetworkRecord) -> str:
    parameters = record.report.get("parameters")
    size = f", {parameters / 1e6:.1f} million parameters" if parameters else ""
    return f"{record.input}{size}: open for its measurements"


def _facts(record: NetworkRecord) -> dict[str, str]:
    """Facts of the network and of how it was measured, as text."""
    settings, report = record.config["preprocess"], record.report
    facts = {"network": record.config["model"], "input": record.input}
    if settings.get("face_size") and settings["size"] > settings["face_size"]:
        facts["upscaled"] = f"{settings['upsample']}, from {settings['face_size']} pixels"
    if record.onnx_bytes is not None:
        facts["ONNX file"] = megabytes(record.onnx_bytes)
    if not report:
        return facts
    copies = report.get("without_copies")
    votes = report.get("ferplus")
    facts |= {"parameters": f"{report['parameters']:,}", "accuracy": _accuracy(report)}
    facts["true label among the two most probable"] = percent(report["top2_accuracy"])
    if copies:
        facts["accuracy without exact copies of images in other splits"] = _accuracy(copies)
    if votes:
        facts["accuracy against the majority of ten voters (FER+)"] = _accuracy(votes)
    facts["measured weights"] = f"SHA-256 {report['sha256'][:12]}…"
    return facts


def _accuracy(figures: Mapping[str, Any]) -> str:
    limits = figures["interval"]["accuracy"]
    return f"{percent(figures['accuracy'])} ({interval(limits)}, {figures['n']:,} faces)"
