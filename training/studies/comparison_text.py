"""Render the comparison of models as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.evaluation.summary import percent_interval

__all__ = ["page"]

#: The published claim that the pairs are compared with: points of accuracy gained, and factor of fewer epochs.
_GAIN, _SPEEDUP = (5, 15), (3, 5)


def page(result: Mapping[str, Any]) -> str:
    """The tables: accuracy and cost, training, untrained networks, effect of pretraining."""
    machine, target = result["machine"], result["target"]
    lines = [
        "# Models",
        "",
        "Latency is the median forward pass of one face, images/s the throughput in batches of 64; the network alone, "
        f"on {_machine(machine)}.",
        *_measured_earlier(result["models"]),
        "",
    ]
    lines += [
        "| model | network | accuracy | validation | parameters | file | latency | images/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["models"]:
        cost = (
            f"{row['parameters']:,} | {row['file_bytes'] / 2**20:.1f} MB | {row['latency_ms']:.2f} ms | "
            f"{row['images_per_second']:,.0f}"
        )
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
        cost = "– | – | –"
        if training:
            device = training["device"] or "not recorded"
            cost = f"{training['hours']:.1f} | {training['images_per_second']:,.0f} | {device}"
        reached = row["epochs_to_target"] or ("not reached" if row["epochs"] else "–")
        lines.append(f"| `{row['name']}` | {row['start']} | {row['epochs'] or '–'} | {reached} | {cost} |")
    if result["untrained"]:
        lines += ["", "## Without a trained model", "", "| network | preprocessing | parameters |", "|---|---|---|"]
        lines += [
            f"| `{row['model']}` | {row['preprocess']} | {_count(row['parameters'])} |" for row in result["untrained"]
        ]
    return "\n".join([*lines, "", *_pairs(result["pairs"], target)]) + "\n"


def _machine(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} thread, torch {facts['torch']}, load "
        f"average {facts['load']}"
    )


def _measured_earlier(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each machine record under which kept rows were measured."""
    names_by_machine: dict[str, list[str]] = {}
    for row in rows:
        if "measured_on" in row:
            names_by_machine.setdefault(_machine(row["measured_on"]), []).append(f"`{row['name']}`")
    return [f"Measured earlier, on {facts}: {', '.join(names)}." for facts, names in names_by_machine.items()]


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
    claim = (
        f'The claim: "pretrained is {_GAIN[0]} to {_GAIN[1]} points better and converges {_SPEEDUP[0]} to '
        f'{_SPEEDUP[1]} times faster".'
    )
    lines = ["## Pretrained against scratch", "", claim, ""]
    if not pairs:
        return [
            *lines,
            "There is no pair of one network with and without pretraining among these models, so the claim is "
            "not tested.",
        ]
    lines += [
        f"| network | pretrained | scratch | gain in points | fewer epochs to {target:.0%} | to the accuracy "
        "both reach | as claimed | also differs in |"
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
    return "depend on options" if parameters is None else f"{parameters:,}"


def _times(ratio: float | None) -> str:
    return "not reached by both" if ratio is None else f"{ratio:.1f}x"


def _within(value: float | None, bounds: tuple[int, int]) -> str:
    if value is None:
        return "unknown"
    if value < bounds[0]:
        return "below"
    return "above" if value > bounds[1] else "yes"
