"""README's file tree, from the first lines of the modules' docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from emotion_hub.errors import CheckpointError

__all__ = ["BEGIN", "END", "module_tree", "with_module_tree"]

BEGIN, END = "<!-- tree: written by python -m training.card -->", "<!-- end of tree -->"

#: Top-level folders with modules, and what the files beside them are.
FOLDERS = ("emotion_hub", "training", "benchmarks", "tests")
FILES = {
    "app.py": "Entry of the Space and of `python app.py`.",
    "docs/": "Architecture, and the pictures of the documentation.",
    "model_card.md": "Cards of all embedded checkpoints, on one page.",
}

#: Column at which the descriptions begin.
COLUMN = 34


def module_tree(root: Path) -> str:
    """The tree as text: files first, then folders, each module with its docstring's first line.

    Raises CheckpointError for a module whose docstring has no first line of at most 75 characters.
    """
    lines = [_line(name, about, 0) for name, about in FILES.items()]
    for folder in FOLDERS:
        lines += _folder(root / folder, 0)
    return "\n".join(lines)


def _folder(folder: Path, depth: int) -> Iterator[str]:
    package = folder / "__init__.py"
    yield _line(f"{folder.name}/", _summary(package) if package.read_text().strip() else "", depth)
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield _line(path.name, _summary(path), depth + 1)
    for path in sorted(folder.iterdir()):
        if (path / "__init__.py").is_file():
            yield from _folder(path, depth + 1)


def _line(name: str, about: str, depth: int) -> str:
    return f"{'  ' * depth + name:{COLUMN}}{about}".rstrip()


def _summary(path: Path) -> str:
    first, *_ = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")
    if not 0 < len(first) <= 75:
        raise CheckpointError(
            f"{path.name}: its docstring's first line has {len(first)} characters; README shows it, so it needs 1 to 75"
        )
    return first.rstrip(".")


def with_module_tree(text: str, root: Path) -> str:
    """README's text with its tree replaced; raises CheckpointError where the lines around the tree are missing."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise CheckpointError(f"README.md lacks the lines {BEGIN!r} and {END!r} between which the tree stands")
    return f"{head}{BEGIN}\n```\n{module_tree(root)}\n```\n{END}{tail}"
