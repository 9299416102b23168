"""Table of all networks side by side, and a plot of their accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotion_hub.ui.charts.records import NetworkRecord
from emotion_hub.ui.charts.robustness import loss_at
from emotion_hub.ui.charts.svg import Plot, figure, marker, whisker
from emotion_hub.ui.charts.tables import NOT_MEASURED, interval, megabytes, percent, points, table

__all__ = ["comparison_section"]

#: Degraded faces in the table: (fault and strength in the report, row, explanation).
DEGRADED = (
    ("blur", 1.25, "change under blur", "points, blur of 1.25 of 48 pixels"),
    ("noise", 8.0, "change under noise", "points, noise of 8 of 255 gray levels"),
)


def comparison_section(records: Sequence[NetworkRecord]) -> str:
    """A sentence on the accuracies, their plot with intervals, and the table: a column per network."""
    measured = [record for record in records if record.report]
    plot = _intervals(measured) if measured else ""
    return f"<p>{_verdict(measured)}</p>{plot}{_table(records)}"


def _verdict(measured: Sequence[NetworkRecord]) -> str:
    """The most accurate network, and whether its interval overlaps those of the others."""
    if not measured:
        return "No network here has a report."
    best = max(measured, key=lambda record: record.report["accuracy"])
    report = best.report
    text = (
        f"<strong>{escape(best.name)}</strong> has the highest accuracy, {percent(report['accuracy'])} on the"
        f" {report['n']:,} test faces of FER2013."
    )
    others = [record for record in measured if record is not best]
    low = report["interval"]["accuracy"][0]
    overlapping = [record.name for record in others if record.report["interval"]["accuracy"][1] >= low]
    if others and len(overlapping) == len(others):
        text += " The 95% intervals overlap, so on other faces another network may come first."
    elif overlapping:
        text += f" Its 95% interval overlaps that of {escape(', '.join(overlapping))}."
    return text


def _intervals(measured: Sequence[NetworkRecord]) -> str:
    limits = [limit for record in measured for limit in record.report["interval"]["accuracy"]]
    low, high = int(100 * min(limits)) / 100 - 0.005, int(100 * max(limits)) / 100 + 0.015
    height = 58 + 30 * len(measured)
    plot = Plot((low, high), (0, len(measured)), height=height, left=96)
    ticks = [tick / 100 for tick in range(0, 101) if low <= tick / 100 <= high]
    body = plot.axes(ticks, [], x_title="accuracy", y_title="", x_text=lambda v: percent(v, 0), y_text=str)
    told = []
    for row, record in enumerate(measured):
        y = len(measured) - row - 0.5
        start, end = record.report["interval"]["accuracy"]
        accuracy = record.report["accuracy"]
        drawn = whisker(plot.at(start, y), plot.at(end, y)) + marker(plot.at(accuracy, y), radius=5)
        body += (
            f'<g class="{record.side_class}"><text x="{plot.left - 8}" y="{plot.at_y(y) + 4}" text-anchor="end">'
            f"{escape(record.name)}</text>{drawn}</g>"
        )
        told.append(f"{record.name} {percent(accuracy)} ({interval((start, end))})")
    return figure(
        "eh-intervals",
        plot,
        body,
        title="Accuracy of the networks with 95% intervals",
        description=f"{'; '.join(told)}.",
        caption="Dot: accuracy on the test faces. Line: its 95% interval.",
    )


def _table(records: Sequence[NetworkRecord]) -> str:
    heads = [
        f'<span class="{record.side_class}"><span class="eh-dot"></span>{escape(record.name)}</span>'
        for record in records
    ]
    rows = [
        ["input", *(escape(record.input) for record in records)],
        ["parameters <small>numbers set by training</small>", *(_figure(r, "parameters", "{:,}") for r in records)],
        ["ONNX file <small>with weights of 16 bits</small>", *(_size(record.onnx_bytes) for record in records)],
        ["ONNX file, 8 bits", *(_size(record.int8_bytes) for record in records)],
        [
            "accuracy <small>right labels; 95% interval</small>",
            *(_with_interval(r, "accuracy") for r in records),
        ],
        [
            "macro F1 <small>every label counted alike; 1 is best</small>",
            *(_with_interval(record, "macro_f1") for record in records),
        ],
        [
            "calibration error <small>points between confidence and share right; 0 is best</small>",
            *(f"{100 * record.report['ece']:.1f}" if record.report else NOT_MEASURED for record in records),
        ],
        [
            "prediction set <small>labels per face, to hold the true one 9 times in 10</small>",
            *(_set_size(record) for record in records),
        ],
        *(
            [f"{name} <small>{explanation}</small>", *(_change(record, fault, strength) for record in records)]
            for fault, strength, name, explanation in DEGRADED
        ),
    ]
    return table(
        "The networks of this demo",
        heads,
        rows,
        css="eh-networks",
        stacked=True,
        note="Measured on FER2013's test split (PrivateTest), which no network was trained on.",
    )


def _figure(record: NetworkRecord, key: str, form: str) -> str:
    value = record.report.get(key)
    return NOT_MEASURED if value is None else form.format(value)


def _size(count: int | None) -> str:
    return "no file" if count is None else megabytes(count)


def _with_interval(record: NetworkRecord, key: str) -> str:
    if not record.report:
        return NOT_MEASURED
    value, limits = record.report[key], record.report["interval"][key]
    if key == "accuracy":
        return f"<strong>{percent(value)}</strong> <small>{interval(limits)}</small>"
    return f"{value:.2f} <small>{interval(limits, share=False, digits=2)}</small>"


def _set_size(record: NetworkRecord) -> str:
    sets = record.report.get("prediction_sets")
    return NOT_MEASURED if not sets else f"{sets['mean_size']:.2f} labels"


def _change(record: NetworkRecord, fault: str, strength: float) -> str:
    change = loss_at(record.report, fault, strength)
    return NOT_MEASURED if change is None else points(change)
