"""Write a study's figures as JSON and its page as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.data.files import write_json

__all__ = ["write_study"]


def write_study(report: dict[str, Any], page: str, out: Path, indent: int = 1) -> dict[str, Any]:
    """The report, after it was written to `out`, the page was written beside it, and the page was printed."""
    write_json(out, report, indent=indent)
    out.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)
    return report
