"""Read a module of this package as text: its definitions and imports.

The module is not imported, so that its own imports need not be installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ModuleText", "used_names"]

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class ModuleText:
    """A module of this package as text.

    `definitions` are its top-level statements by the name that they define. `imported` is {name: (module, name in that
    module)}, with None as the second element for an imported module.
    """

    name: str
    lines: tuple[str, ...]
    definitions: dict[str, ast.stmt]
    imported: dict[str, tuple[str, str | None]]

    @classmethod
    def read(cls, name: str) -> ModuleText:
        """The module with this dotted name, which is not imported."""
        text = _PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
        definitions: dict[str, ast.stmt] = {}
        imported: dict[str, tuple[str, str | None]] = {}
        for node in _statements(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported |= {alias.asname or alias.name: (alias.name, None) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                definitions |= {n.id: node for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        return cls(name, tuple(text.splitlines()), definitions, imported)

    def text_of(self, node: ast.stmt) -> str:
        """The lines of a definition with its decorators and the comment above it."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        while self.lines[first - 1].startswith("#"):
            first -= 1
        return "\n".join(self.lines[first : node.end_lineno])


def used_names(node: ast.stmt) -> list[str]:
    """The names in a statement, sorted."""
    return sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name)})


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The top-level statements, including those in a `try`, which replaces the error of a missing package."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.Try) else [node]
