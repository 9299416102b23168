"""Write model cards, docs/provenance.md, and README's figures and file tree.

python -m training.card
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import CheckpointError
from training.publishing.cards import embedded_card, overview
from training.publishing.figures import ensemble_text, figures_table, pair_text, robustness_table
from training.publishing.module_tree import with_module_tree
from training.publishing.provenance import provenance_page

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
ROBUSTNESS = "Accuracy lost on the same faces when they are degraded before they are scaled (more in the model cards):"
BEGIN, END = "<!-- figures: written by python -m training.card -->", "<!-- end of figures -->"


def readme() -> str:
    """README.md with its figures and its file tree replaced.

    Raises CheckpointError when the lines around them are missing.
    """
    text = (ROOT / "README.md").read_text()
    if BEGIN not in text or END not in text:
        raise CheckpointError(
            f"README.md lacks the lines {BEGIN!r} and {END!r}, between which the figures are written; add them"
        )
    before, rest = text.split(BEGIN, 1)
    parts = [figures_table(), ensemble_text(), pair_text(), ROBUSTNESS, robustness_table()]
    figures = "\n\n".join(part for part in parts if part)
    return with_module_tree(f"{before}{BEGIN}\n{figures}\n{END}{rest.split(END, 1)[1]}", ROOT)


def main(argv: list[str] | None = None) -> list[Path]:
    """Write the files that are out of date, and return them."""
    parser = argparse.ArgumentParser(prog="training.card", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    args = parser.parse_args(argv)
    texts = {folder / "README.md": embedded_card(name) for name, folder in embedded_checkpoints().items()}
    texts |= {
        ROOT / "model_card.md": overview(),
        ROOT / "README.md": readme(),
        ROOT / "docs" / "provenance.md": provenance_page(embedded_checkpoints()),
    }
    stale = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        print(f"{'out of date' if args.check else 'wrote'}: {path.relative_to(ROOT)}")
        if not args.check:
            path.write_text(texts[path])
    if args.check and stale:
        sys.exit(1)
    return stale


if __name__ == "__main__":
    main()
