"""Mutation check: changes, restoration, and caught against survived."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.mutation import Mutant, mutants_of, run, suite_of

MODULE = '''"""A module: 1 < 2."""

__all__ = ["f"]

WIDTH: "int" = 3


def f(x: int, y: int = 2) -> bool:
    """True and 1 + 1."""
    if x < WIDTH and y:
        return x + y > 4
    return False
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "emotion_hub").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "emotion_hub" / "small.py").write_text(MODULE)
    for name in ("images", "hostile_files", "preprocess", "faces", "predictor"):
        (tmp_path / "tests" / f"test_{name}.py").write_text("def test_nothing():\n    assert True\n")
    for name in ("models", "cli"):
        (tmp_path / "tests" / name).mkdir()
    (tmp_path / "tests" / "test_small.py").write_text(
        "from emotion_hub.small import f\n\n\ndef test_f():\n    assert f(2, 3)\n    assert not f(3, 3)\n"
    )
    return tmp_path


def test_operators_constants_and_conditions_are_changed_and_nothing_else(repository):
    found = {(m.line, m.old, m.new) for m in mutants_of(repository / "emotion_hub" / "small.py", repository)}
    assert found == {
        (5, "3", "4"),
        (8, "2", "3"),
        (10, "<", "<="),
        (10, "and", "or"),
        (10, "x < WIDTH and y", "(not (x < WIDTH and y))"),
        (11, "+", "-"),
        (11, ">", ">="),
        (11, "4", "5"),
        (12, "False", "True"),
    }


def test_every_mutant_of_the_library_is_valid_python():
    root = Path(__file__).parents[2]
    path = root / "emotion_hub" / "preprocess.py"
    lines = path.read_text().split("\n")
    for mutant in mutants_of(path, root):
        line = lines[mutant.line - 1]
        assert line[mutant.column :].startswith(mutant.old.split("\n")[0])
        if "\n" not in mutant.old:
            changed = line[: mutant.column] + mutant.new + line[mutant.column + len(mutant.old) :]
            ast.parse("\n".join([*lines[: mutant.line - 1], changed, *lines[mutant.line :]]))


@pytest.mark.slow
def test_a_detected_fault_is_told_from_a_survivor_and_the_module_is_restored(repository):
    caught = run(Mutant("emotion_hub/small.py", 10, 9, "<", "<=", "if x < WIDTH and y:"), repository)
    assert caught["caught"]
    assert "test_f" in caught["by"]
    assert (repository / "emotion_hub" / "small.py").read_text() == MODULE
    survivor = run(Mutant("emotion_hub/small.py", 8, 22, "2", "3", "def f"), repository)
    assert not survivor["caught"]
    assert (repository / "emotion_hub" / "small.py").read_text() == MODULE


def test_the_tests_of_a_mutant_are_its_own_modules_and_its_packages():
    root = Path(__file__).parents[2]
    assert suite_of("emotion_hub/serve/responses.py", root) == ["tests/serve"]
    assert suite_of("emotion_hub/explainers/target_layers.py", root) == [
        "tests/explainers/test_target_layers.py",
        "tests/explainers",
    ]
    assert suite_of("emotion_hub/labels.py", root)[0] == "tests/test_labels.py"
