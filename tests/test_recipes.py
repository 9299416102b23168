"""The extension recipes of docs/architecture.md apply and work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

#: {title: (diff, check)} of the recipes.
RECIPES = {
    title: (diff, check)
    for title, diff, check in re.findall(
        r"^### (.+?)\n.*?```diff\n(.*?)```.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE
    )
}


def test_there_is_a_recipe_for_each_kind_of_extension() -> None:
    assert set(RECIPES) == {"A network", "An explanation method", "A face detector", "A tab of the demo", "A label set"}


@pytest.mark.slow
@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works(title: str, tmp_path: Path) -> None:
    diff, check = RECIPES[title]
    for folder in ("emotion_hub", "training"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "studies"))
    shutil.copyfile(ROOT / "app.py", tmp_path / "app.py")
    (tmp_path / "recipe.diff").write_text(diff)
    applied = subprocess.run(["git", "apply", "recipe.diff"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert applied.returncode == 0, applied.stderr
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", check],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
