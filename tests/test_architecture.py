"""docs/architecture.md and README's tree against the modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_package import LAYERS, TRAINING_LAYERS
from training.publishing.module_tree import BEGIN, END, module_tree, with_module_tree

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: (question, module, subject) of the table.
QUESTIONS = re.findall(r"^\| (.+\?) \| `([\w/.]+\.py)` \| (.+) \|$", PAGE, re.MULTILINE)


def _described() -> dict[str, str]:
    """{path: what README's tree says of it}."""
    tree = README.partition(BEGIN)[2].partition(END)[0]
    folders: list[str] = []
    found = {}
    for line in tree.splitlines():
        if not line.strip() or line.startswith("```"):
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, about = line.strip().partition(" ")
        folders[depth:] = [name]
        found["".join(folders)] = about.strip()
    return found


def test_there_are_questions() -> None:
    assert len(QUESTIONS) >= 25
    assert len({question for question, _, _ in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize(("question", "module", "subject"), QUESTIONS, ids=[q[0] for q in QUESTIONS])
def test_a_question_is_answered_by_a_module_that_readme_describes(question: str, module: str, subject: str) -> None:
    assert (ROOT / module).is_file()
    assert subject.lower() in _described()[module].lower(), f"README says of {module}: {_described()[module]!r}"


def test_readmes_tree_is_the_one_of_the_docstrings() -> None:
    assert with_module_tree(README, ROOT) == README, "run python -m training.card"
    described = _described()
    for top in ("emotion_hub", "training", "benchmarks", "tests"):
        for path in (ROOT / top).rglob("*.py"):
            if path.name != "__init__.py" and "peer_workers" not in path.parts:
                assert described[path.relative_to(ROOT).as_posix()]


def test_a_module_without_a_short_first_line_is_refused(tmp_path: Path) -> None:
    for folder in ("emotion_hub", "training", "benchmarks", "tests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "emotion_hub" / "one.py").write_text('"""One thing."""\n')
    assert re.search(r"^  one\.py +One thing$", module_tree(tmp_path), re.MULTILINE)
    for text in ("", f'"""{"long " * 16}."""\n'):
        (tmp_path / "emotion_hub" / "one.py").write_text(text)
        with pytest.raises(Exception, match=r"one\.py.*first line"):
            module_tree(tmp_path)


def test_the_page_lists_the_layers_that_the_package_has() -> None:
    said = " ".join(PAGE.split())
    assert f"**emotion_hub**: {', '.join(LAYERS[:-1])}." in said
    assert f"**training**: {', '.join(TRAINING_LAYERS)};" in said
