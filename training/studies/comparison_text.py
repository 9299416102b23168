"""A comparison of `training.compare_models` as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.evaluation.summary import percent_interval

__all__ = ["page"]

#: The published claim that the pairs are held against: gain in points of accuracy, and how many times fewer epochs.
_GAIN, _SPEEDUP = (5, 15), (3, 5)


def page(result: Mapping[str, Any]) -> str:
    """The tables: accuracy and cost, training, untrained networks, and what pretraining gave."""
    machine, target = result["machine"], result["target"]
    lines = [
        "# Models",
        "",
        f"Latency is the median forward pass of one face, images a second those in batches of 64; the network alone, on {_machine(machine)}.",
        *_measured_before(result["models"]),
        "",
    ]
    lines += [
        "| model | network | accuracy | validation | parameters | file | latency | images/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["models"]:
        cost = f"{row['parameters']:,} | {row['file_bytes'] / 2**20:.1f} MB | {row['latency_ms']:.2f} ms | {row['images_per_second']:,.0f}"
        lines.append(f"| `{row['name']}` | `{row['model']}` | {_report(row)} | {_validation(row)} | {cost} |")
    lines += [
        "",
        "## Training",
        "",
        f"| model | start | epochs | epochs to {target:.0%} on validation | hours | images/s | device |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["models"]:
        training = row["training"] or {}
        spent = (
            f"{training['hours']:.1f} | {training['images_per_second']:,.0f} | {training['device'] or 'not recorded'}"
            if training
            else "– | – | –"
        )
        reached = row["epochs_to_target"] or ("not reached" if row["epochs"] else "–")
        lines.append(f"| `{row['name']}` | {row['start']} | {row['epochs'] or '–'} | {reached} | {spent} |")
    if result["untrained"]:
        lines += ["", "## Without a trained model", "", "| network | preprocessing | parameters |", "|---|---|---|"]
        lines += [
            f"| `{row['model']}` | {row['preprocess']} | {_count(row['parameters'])} |" for row in result["untrained"]
        ]
    return "\n".join([*lines, "", *_pairs(result["pairs"], target)]) + "\n"


def _machine(facts: Mapping[str, Any]) -> str:
    return f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} thread, torch {facts['torch']}, load average {facts['load']}"


def _measured_before(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each occasion on which kept rows were measured."""
    occasions: dict[str, list[str]] = {}
    for row in rows:
        if "measured_on" in row:
            occasions.setdefault(_machine(row["measured_on"]), []).append(f"`{row['name']}`")
    return [f"Measured before, on {facts}: {', '.join(names)}." for facts, names in occasions.items()]


def _report(row: Mapping[str, Any]) -> str:
    report = row.get("report")
    if not report:
        return "–"
    interval = f", {percent_interval(report['interval']['accuracy'])}" if "interval" in report else ""
    return f"{report['accuracy']:.2%} ({report['split']}, n={report['n']:,}{interval})"


def _validation(row: Mapping[str, Any]) -> str:
    if "measured" in row:
        measured = row["measured"]
        return f"{measured['accuracy']:.2%} (n={measured['n']:,}, {percent_interval(measured['interval']['accuracy'])})"
    best = row["validation"]
    return f"{best['accuracy']:.2%} (epoch {best['epoch']}, n={best['n']:,})" if best else "–"


def _pairs(pairs: list[Mapping[str, Any]], target: float) -> list[str]:
    claim = f'The claim: "pretrained is {_GAIN[0]} to {_GAIN[1]} points better and converges {_SPEEDUP[0]} to {_SPEEDUP[1]} times faster".'
    lines = ["## Pretrained against scratch", "", claim, ""]
    if not pairs:
        return [
            *lines,
            "No two of these models are one network with and without pretraining, so nothing here speaks for or against it.",
        ]
    lines += [
        f"| network | pretrained | scratch | gain in points | fewer epochs to {target:.0%} | to what both reach | as claimed | also differs in |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for pair in pairs:
        gain, faster = 100 * pair["gain"], pair["speedup_to_shared"]
        holds = f"gain {_within(gain, _GAIN)}, speed {_within(faster, _SPEEDUP)}"
        both = f"{_times(faster)} ({pair['shared_accuracy']:.1%})"
        differs = ", ".join(pair["differs"]) or "nothing"
        runs = f"`{pair['model']}` | `{pair['pretrained']}` | `{pair['scratch']}`"
        lines.append(f"| {runs} | {gain:+.1f} | {_times(pair['speedup_to_target'])} | {both} | {holds} | {differs} |")
    return lines


def _count(parameters: int | None) -> str:
    return "by its options" if parameters is None else f"{parameters:,}"


def _times(ratio: float | None) -> str:
    return "not reached by both" if ratio is None else f"{ratio:.1f}x"


def _within(value: float | None, bounds: tuple[int, int]) -> str:
    if value is None:
        return "unknown"
    return "below" if value < bounds[0] else "above" if value > bounds[1] else "yes"
