"""The curves of a run as one SVG: `python -m training.curves --run RUN [--run ...] --out curves.svg`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from emotion_hub.errors import CheckpointError
from training.fit.run_folder import HISTORY_FILE

__all__ = ["curves", "main"]


def curves(histories: list[dict[str, Any]]) -> Figure:
    """Loss, accuracy, macro F1, learning rate and the norms of weights and gradients over the epochs; a colour a run."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    (loss, accuracy, macro_f1), (rate, weights, gradients) = figure.subplots(2, 3)
    for number, history in enumerate(histories):
        colour, name, rows = f"C{number}", history["recipe"]["name"], history["epochs"]
        epochs = [row["epoch"] for row in rows]
        loss.plot(epochs, [row["loss"] for row in rows], color=colour, label=f"{name}, training")
        loss.plot(
            epochs, [row.get("val_loss", float("nan")) for row in rows], "--", color=colour, label=f"{name}, validation"
        )
        for axes, key in ((accuracy, "val_accuracy"), (macro_f1, "val_macro_f1"), (rate, "lr")):
            axes.plot(epochs, [row.get(key, float("nan")) for row in rows], color=colour)
        for axes, key in ((weights, "weight_norm"), (gradients, "grad_norm")):
            for part in rows[0].get("statistics", {}):
                axes.plot(
                    epochs,
                    [row["statistics"][part][key] for row in rows],
                    color=colour,
                    alpha=0.4 if part != "classifier" else 1,
                )
    for axes, title in (
        (loss, "loss"),
        (accuracy, "validation accuracy"),
        (macro_f1, "validation macro F1"),
        (rate, "learning rate"),
    ):
        axes.set_title(title)
    weights.set_title("weight norms (head: full colour)")
    gradients.set_title("gradient norms, after clipping")
    for axes in figure.axes:
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    loss.legend(fontsize=7)
    return figure


def main(argv: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(prog="training.curves", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", required=True, action="append", type=Path, help="the --out folder of training.train; may be repeated"
    )
    parser.add_argument("--out", required=True, type=Path, help="the .svg file")
    args = parser.parse_args(argv)
    histories = []
    for folder in args.run:
        if not (folder / HISTORY_FILE).is_file():
            raise CheckpointError(
                f"{folder} has no {HISTORY_FILE}; give the --out folder of a run with a finished epoch"
            )
        histories.append(json.loads((folder / HISTORY_FILE).read_text()))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "emotion_hub", "svg.fonttype": "none"}):
        curves(histories).savefig(args.out, metadata={"Date": None})
    print(f"wrote {args.out}")
    return args.out


if __name__ == "__main__":
    main()
