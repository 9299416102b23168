"""Render the figures of `benchmarks.run`: README's tables and a bar chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError

__all__ = ["BEGIN", "END", "draw", "markdown", "write_readme"]

ROOT = Path(__file__).parent.parent
DEMO_FILE = ROOT / "benchmarks" / "results" / "demo.json"
BEGIN, END = "<!-- speed: written by python -m benchmarks.run --json --readme -->", "<!-- end of speed -->"


def markdown(report: dict[str, Any]) -> str:
    """README's tables in Markdown."""
    machine, faces, batches = report["machine"], report["faces"], report["batches"]
    versions = ", ".join(
        f"{name} {version}" for name, version in machine["versions"].items() if name in ("torch", "onnxruntime")
    )
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {versions}. Medians in milliseconds; ratios are from "
        "rounds that "
        "alternate in one run.",
        "",
        "| one 48-pixel PNG | decode | preprocess | network | bytes to probabilities | relative to a bare call | "
        "8-bit | torch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in faces.items():
        onnx = row["onnx"]
        lines.append(
            f"| `{name}`, ONNX | {onnx['decode']:.2f} | {onnx['preprocess']:.2f} | {onnx['model']:.2f} | "
            f"**{onnx['total']:.2f}** "
            f"| {row['total_over_bare']:.2f}× | {row['onnx-int8']['total']:.2f} | {row['torch']['total']:.2f} |"
        )
    lines += [
        "",
        "| batches of 64 | `predict_batch`, faces/s | relative to a bare loop | torch, faces/s | the loop's "
        "share of the "
        "matrix-multiplication peak |",
        "|---|---|---|---|---|",
    ]
    for name, row in ((n, r) for n, r in batches.items() if n != "matmul_gflops"):
        speeds = row["faces_per_second"]
        lines.append(
            f"| `{name}` | {speeds['predict_batch']:,.0f} | {row['share_of_bare']:.0%} | "
            f"{speeds['predict_batch, torch']:,.0f} "
            f"| {row['limit']['share']:.0%} of {max(batches['matmul_gflops'].values()):,.0f} GFLOP/s |"
        )
    lines += ["", "| weights | file, MB | one face, ms | batches of 64, faces/s |", "|---|---|---|---|"]
    for name, row in report["storages"].items():
        for storage, figures in row.items():
            lines.append(
                f"| `{name}`, {storage} | {figures['bytes'] / 2**20:.1f} | {figures['milliseconds']:.2f} | "
                f"{figures['faces_per_second']:,.0f} |"
            )
    start = report["startup"]
    first = ", ".join(f"`{name}` {row['import_to_answer']:.2f} s" for name, row in start["prediction"].items())
    lines += [
        "",
        f"From `import emotion_hub` to the first ONNX prediction in a new process: {first}. The demo returns its first "
        f"prediction after {start['app']['app']:.1f} s, {start['app']['ratio']:.2f} times the time of an empty "
        "Gradio app.",
        "",
        "| command, in a new process | seconds | peak memory, MB | time relative to the bare process |",
        "|---|---|---|---|",
    ]
    for name, row in report["commands"].items():
        ratio = f"{row['ratio']:.1f}× `{row['over']}`" if "over" in row else "–"
        lines.append(f"| `{name}` | {row['seconds']:.2f} | {row['megabytes']:.0f} | {ratio} |")
    page = report["page"]
    more, gallery = page["demo"] - page["empty"], page["demo"] - page["without_examples"]
    lines += [
        "",
        f"The demo's page transfers {more / 1000:,.0f} kB more than an empty Gradio page, of which "
        f"{gallery / 1000:,.0f} kB are the example photos. {_demo_times()}".rstrip(),
        "",
        "| claimed by the project's source reports, 48 against 224 pixels | claimed | measured | holds |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {c['claim']} | {c['claimed']} | {c['measured']} | {'yes' if c['holds'] else 'no'} |"
        for c in report["seeds"]["claims"]
    ]
    return "\n".join(lines)


def _demo_times() -> str:
    """A sentence on the times in Chromium that `benchmarks.demo` measured; empty without its figures."""
    if not DEMO_FILE.is_file():
        return ""
    times = json.loads(DEMO_FILE.read_text())
    return (
        f"In Chromium on the same machine, a click on an example is answered after "
        f"{times['answer_after_example_click']:.2f} s, four class activation maps are drawn after "
        f"{times['four_class_activation_maps']:.1f} s, and the maps of all methods, LIME and SHAP included, for both "
        f"networks after {times['eight_maps_with_lime_and_shap']:.0f} s."
    )


def write_readme(report: dict[str, Any], path: Path = ROOT / "README.md") -> None:
    """Replace README's tables; raises InputError when the lines around them are missing."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise InputError(
            f"{path.name} lacks the lines {BEGIN!r} and {END!r}, between which the tables are written; add them"
        )
    before, rest = text.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{markdown(report)}\n{END}{rest.split(END, 1)[1]}")


def draw(report: dict[str, Any], path: Path) -> Path:
    """Draw bars of a photo's stages, one per network, on a logarithmic scale; returns `path`."""
    from matplotlib.figure import Figure

    rows = report["photo"]["milliseconds"]
    figure = Figure(figsize=(7.5, 0.42 * len(rows) + 1.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    colours = {"detect": "#c9d8f2", "model": "#2f5fb3", "preprocess": "#7fa3dc"}
    names = list(rows)[::-1]
    values = [rows[name] for name in names]
    bars = axes.barh(names, values, color=[colours.get(name.split(",")[0], "#9aa7b8") for name in names])
    labels = [f"{ms:,.0f} ms" if ms >= 10 else f"{ms:.2g} ms" for ms in values]
    axes.bar_label(bars, labels=labels, padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("milliseconds, logarithmic")
    width, height = report["photo"]["pixels"]
    axes.set_title(f"A photo of {width}×{height} pixels, stage by stage", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})
    return path
