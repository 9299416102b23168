"""Installed size of the package, its base dependencies and each extra.

    python -m benchmarks.sizes --readme

Sizes are those in the environment that runs it, which must have all extras (requirements-dev.txt). An extra
counts the files of all distributions that it requires, directly or indirectly, without compiled bytecode.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["closure", "main", "package_bytes", "requirements", "sizes", "table"]

ROOT = Path(__file__).parent.parent

#: {extra: what it is for}.
PURPOSES = {
    "torch": 'torch and timm: `EmotionClassifier`, `create_model`, `backend="torch"`, checkpoints without an ONNX file',
    "cam": "Grad-CAM, Grad-CAM++",
    "explain": "LIME and SHAP, without torch",
    "onnx": "`emotion-hub export`, quantisation",
    "app": "the demo; its Explain tab has the methods whose extras are installed",
    "serve": "`emotion-hub serve`",
    "batch": "parquet files for `emotion-hub batch`; CSV and JSON Lines need no extra",
    "video": "`emotion-hub video`",
    "train": "everything under `training/`",
    "cluster": "`emotion-hub batch --engine ray`",
}


def sizes() -> dict[str, int]:
    """{"package", "base" or an extra: bytes}; an extra counts what it adds to the base.

    Raises PackageNotFoundError when a distribution is not installed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    base = closure(project["dependencies"])
    by_part = {"package": package_bytes(), "base": _bytes(base)}
    for name in PURPOSES:
        by_part[name] = _bytes(closure(requirements(extras, name)) - base)
    return by_part


def package_bytes() -> int:
    """Bytes of this package's own files."""
    return sum(
        path.stat().st_size
        for path in (ROOT / "emotion_hub").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def requirements(extras: dict[str, list[str]], *names: str) -> set[str]:
    """The requirements of these extras, including those of the extras that they refer to."""
    lines: set[str] = set()
    for name in names:
        for line in extras[name]:
            referred = re.fullmatch(r"emotion-hub\[([\w,]+)\]", line)
            lines |= requirements(extras, *referred[1].split(",")) if referred else {line}
    return lines


def closure(lines: Iterable[str]) -> set[str]:
    """The canonical names of all distributions that these requirements install here."""
    pending = [Requirement(line) for line in lines]
    seen: dict[str, set[str]] = {}
    while pending:
        requirement = pending.pop()
        name, wanted = canonicalize_name(requirement.name), {"", *requirement.extras}
        if name in seen and wanted <= seen[name]:
            continue
        seen[name] = seen.get(name, set()) | wanted
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted):
                pending.append(needed)
    return set(seen)


def table(by_part: dict[str, int]) -> str:
    """README's table in Markdown."""
    rows = [
        "| installed | MB | for |",
        "|---|---|---|",
        f"| the package | {by_part['package'] / 1e6:,.0f} | three checkpoints in 16 and 8 bits, the face "
        "detector, example photos |",
        f"| its base dependencies | {by_part['base'] / 1e6:,.0f} | predictions in Python and on the command line |",
    ]
    rows += [f"| extra `{name}` | + {by_part[name] / 1e6:,.0f} | {purpose} |" for name, purpose in PURPOSES.items()]
    return "\n".join(rows)


def _bytes(names: Iterable[str]) -> int:
    return sum(_installed(distribution(name)) for name in names)


def _installed(package: Distribution) -> int:
    files = [Path(str(package.locate_file(file))) for file in package.files or () if not str(file).endswith(".pyc")]
    return sum(path.stat().st_size for path in files if path.is_file())


def main(argv: list[str] | None = None) -> dict[str, int]:
    """Print the table, write it to README.md with --readme, and return the sizes."""
    parser = argparse.ArgumentParser(prog="benchmarks.sizes", description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    args = parser.parse_args(argv)
    try:
        by_part = sizes()
    except PackageNotFoundError as error:
        parser.error(f"{error} is not installed here; pip install -r requirements-dev.txt first")
    print(table(by_part))
    if args.readme:
        readme = ROOT / "README.md"
        head, mark, rest = readme.read_text(encoding="utf-8").partition(
            "<!-- sizes: written by python -m benchmarks.sizes -->\n"
        )
        _, end, tail = rest.partition("<!-- end of sizes -->")
        readme.write_text(f"{head}{mark}{table(by_part)}\n{end}{tail}", encoding="utf-8")
    return by_part


if __name__ == "__main__":
    main()
