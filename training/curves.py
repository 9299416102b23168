"""Draw the learning curves of runs as one SVG.

python -m training.curves --run RUN [--run ...] --out curves.svg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from training.fit.record_types import RunHistory
from training.fit.run_folder import load_history

__all__ = ["curves", "main"]


def curves(histories: Sequence[RunHistory]) -> Figure:
    """Loss, accuracy, macro F1, learning rate, and norms of weights and gradients by epoch; one colour per run."""
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
    weights.set_title("weight norms (head: opaque)")
    gradients.set_title("gradient norms, after clipping")
    for axes in figure.axes:
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    loss.legend(fontsize=7)
    return figure


def main(argv: list[str] | None = None) -> Path:
    """Write the drawing and return its path."""
    parser = argparse.ArgumentParser(prog="training.curves", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", required=True, action="append", type=Path, help="the --out folder of training.train; may be repeated"
    )
    parser.add_argument("--out", required=True, type=Path, help="the .svg file")
    args = parser.parse_args(argv)
    histories = [load_history(folder) for folder in args.run]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "emotion_hub", "svg.fonttype": "none"}):
        curves(histories).savefig(args.out, metadata={"Date": None})
    print(f"wrote {args.out}")
    return args.out


if __name__ == "__main__":
    main()
