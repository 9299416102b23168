"""Mutation check: how many small faults in emotion_hub the tests detect.

    python -m benchmarks.mutation --places 60 --json benchmarks/results/mutation.json

Each mutant changes one operator, constant or condition at a seeded random place. The tests of the same module run
against it or, where the module has none of its own, those of its package. A mutant that no test detects is a
survivor; survivors that change nothing observable are listed in `EQUIVALENT`, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

__all__ = ["EQUIVALENT", "Mutant", "main", "mutants_of", "suite_of"]

ROOT = Path(__file__).parent.parent

#: Longest time that one mutant's tests may take, in seconds; a mutant that loops forever counts as caught.
TIMEOUT = 600

_SWAPS: dict[type, tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}

#: Survivors that change nothing observable: {"path: line's text: old -> new": reason}.
EQUIVALENT: dict[str, str] = {
    "emotion_hub/video/frames.py: last = 0.0: 0.0 -> 1.0": "the first frame sets the value before it is read",
    "emotion_hub/ui/explain.py: time.sleep(TICK if task.method not in QUICK else TICK / 10): not in -> in": (
        "only the interval between two updates of the progress changes"
    ),
    "emotion_hub/batch/worker.py: in_flight: int = 1: 1 -> 2": (
        "only the number of batches that run at once; rows do not depend on it"
    ),
    "emotion_hub/cli/predict.py: left_out = predictor.classes.left_out(dict.fromkeys(predictor.labels.labels, 0.0)): "
    "0.0 -> 1.0": "only the labels are read",
    "emotion_hub/cli/completion.py: TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py: "
    "False -> True": "only annotations are imported",
    "emotion_hub/cli/compare.py: "
    'return *labels, "agree" if face.agree else "differ", times, box_cell(both[0].bbox): 0 -> 1': (
        "both sides have the same box: the face is detected once"
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One change: `old` becomes `new` at `line` (from 1) and `column` (bytes, from 0) of `path`, whose line is
    `text`.
    """

    path: str
    line: int
    column: int
    old: str
    new: str
    text: str

    @property
    def key(self) -> str:
        """How `EQUIVALENT` names it: independent of the line's number."""
        return f"{self.path}: {self.text}: {self.old} -> {self.new}"


def mutants_of(path: Path, root: Path = ROOT) -> list[Mutant]:
    """Every mutant of a module, in the order of the text; annotations, strings and `__all__` are left alone."""
    source = path.read_bytes()
    lines, starts = source.splitlines(keepends=True), _line_starts(source)
    name = path.relative_to(root).as_posix()
    found = []
    for start, old, new in sorted(set(_changes(ast.parse(source), source, starts))):
        line = max(i for i, begin in enumerate(starts) if begin <= start)
        text = lines[line].decode().strip()
        found.append(Mutant(name, line + 1, start - starts[line], old, new, text))
    return found


def _line_starts(source: bytes) -> list[int]:
    """Offsets of the lines in bytes, and of the end."""
    return [0, *accumulate(len(line) for line in source.splitlines(keepends=True))]


def _changes(tree: ast.Module, source: bytes, starts: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    """(offset, old text, new text) in bytes."""

    def begin(node: ast.expr) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: ast.expr) -> int:
        return starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)

    def operator(left: ast.expr, right: ast.expr, kind: type) -> Iterator[tuple[int, str, str]]:
        if kind in _SWAPS:
            old, new = _SWAPS[kind]
            at = source.find(old.encode(), end(left), begin(right))
            if at >= 0:
                yield at, old, new

    for node in _code(tree):
        if isinstance(node, ast.Compare):
            for left, kind, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                yield from operator(left, right, type(kind))
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from operator(left, right, type(node.op))
        elif isinstance(node, ast.BinOp):
            yield from operator(node.left, node.right, type(node.op))
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield begin(node), str(node.value), str(not node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            old = source[begin(node) : end(node)].decode()
            yield begin(node), old, repr(node.value + 1)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            old = source[begin(node.test) : end(node.test)].decode()
            yield begin(node.test), old, f"(not ({old}))"


def _code(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that run: no annotation, no string, no `__all__`, nothing under `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns") or isinstance(node, ast.JoinedStr):
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST):
                    continue
                if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                    continue
                if isinstance(child, ast.Assign) and "__all__" in ast.dump(child.targets[0]):
                    continue
                waiting.append(child)


def suite_of(path: str, root: Path = ROOT) -> list[str]:
    """The test files that run against a mutant of this module: of the same name, else the whole package's."""
    inside = Path(path).relative_to("emotion_hub")
    folder = root / "tests" / inside.parent
    own = folder / f"test_{inside.name}"
    if inside.parent == Path("."):
        modules = ("images", "hostile_files", "preprocess", "faces", "predictor")
        integration = [*(f"tests/test_{name}.py" for name in modules), "tests/models", "tests/cli"]
        return [own.relative_to(root).as_posix(), *integration] if own.is_file() else integration
    package = (root / "tests" / inside.parts[0]).relative_to(root).as_posix()
    return [own.relative_to(root).as_posix(), package] if own.is_file() else [package]


def run(mutant: Mutant, root: Path) -> dict[str, Any]:
    """What the tests say of a mutant, in a copy of the repository at `root`, which is restored afterwards."""
    path = root / mutant.path
    source = path.read_bytes()
    at = _line_starts(source)[mutant.line - 1] + mutant.column
    path.write_bytes(source[:at] + mutant.new.encode() + source[at + len(mutant.old.encode()) :])
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *suite_of(mutant.path, root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        caught = done.returncode != 0
        why = next((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    except subprocess.TimeoutExpired:
        caught, why = True, "timeout"
    finally:
        path.write_bytes(source)
    return {**asdict(mutant), "caught": caught, "by": why[:200], "equivalent": EQUIVALENT.get(mutant.key, "")}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The report, also written as JSON: places, caught, survivors and the share caught without equivalent mutants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=60, help="number of mutants (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the places (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="where the report is written")
    args = parser.parse_args(argv)
    modules = sorted(path for path in (ROOT / "emotion_hub").rglob("*.py") if path.name != "__init__.py")
    every = [mutant for module in modules for mutant in mutants_of(module)]
    chosen = random.Random(args.seed).sample(every, min(args.places, len(every)))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "repository"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", ".*_cache"))
        for number, mutant in enumerate(chosen, 1):
            results.append(run(mutant, copy))
            state = "caught" if results[-1]["caught"] else "SURVIVED"
            print(
                f"{number}/{len(chosen)} {state} {mutant.path}:{mutant.line} {mutant.old} -> {mutant.new}", flush=True
            )
            _write(args, every, results)
    return _write(args, every, results)


def _write(args: argparse.Namespace, every: Sequence[Mutant], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counted = [r for r in results if r["caught"] or not r["equivalent"]]
    caught = sum(r["caught"] for r in counted)
    report = {
        "seed": args.seed,
        "possible": len(every),
        "places": len(results),
        "equivalent": len(results) - len(counted),
        "caught": caught,
        "share": round(caught / len(counted), 3) if counted else None,
        "mutants": list(results),
    }
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
