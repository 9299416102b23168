"""Write the folder of a Space: the demo and the files it needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import RepoCard
from huggingface_hub.utils import HFValidationError, validate_repo_id

from emotion_hub.errors import InputError

__all__ = ["VARIABLES", "space_variables", "write_space_folder"]

ROOT = Path(__file__).parents[2]

#: Variables of a Space that name its models, by the option that sets them.
VARIABLES = {"native48": "EMOTION_HUB_NATIVE48", "upscale224": "EMOTION_HUB_UPSCALE224", "models": "EMOTION_HUB_MODELS"}

#: Files of this repository that a Space gets, in addition to the package.
FILES = (
    "README.md",
    "app.py",
    "requirements.txt",
    "model_card.md",
    "LICENSE",
    "NOTICE",
    "pyproject.toml",
    "docs/architecture.md",
    "docs/images/compare-wide-light.webp",
    "docs/images/explain-wide-dark.webp",
)


def space_variables(
    native48: str | None = None, upscale224: str | None = None, models: Sequence[str] = ()
) -> dict[str, str]:
    """{variable: value} of the given ids, OWNER/NAME or OWNER/NAME@REVISION; raises InputError for an invalid id."""
    chosen = {"native48": native48, "upscale224": upscale224, "models": ",".join(models)}
    for value in filter(None, (native48, upscale224, *models)):
        try:
            validate_repo_id(value.partition("@")[0])
        except HFValidationError as error:
            raise InputError(f"{value!r} is no Hub id, OWNER/NAME or OWNER/NAME@REVISION: {error}") from error
        if value.count("/") != 1 or "," in value:
            raise InputError(
                f"{value!r} is no Hub id; a Space cannot read local folders: publish the model first, then give "
                "OWNER/NAME"
            )
    return {VARIABLES[key]: value for key, value in chosen.items() if value}


def write_space_folder(out: Path, variables: dict[str, str]) -> list[str]:
    """The names of the files written to `out`, a new or empty folder; the card's `models` lists the ids.

    Raises InputError for a folder that is not empty, and for an incomplete checkout of the repository.
    """
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} already holds files; give a new or empty folder")
    if missing := [name for name in FILES if not (ROOT / name).is_file()]:
        raise InputError(
            f"{ROOT} lacks {', '.join(missing)}; publish a Space from a complete checkout of the repository"
        )
    shutil.copytree(
        ROOT / "emotion_hub", out / "emotion_hub", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi", ".*")
    )
    for name in FILES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, out / name)
    card = RepoCard.load(out / "README.md", repo_type="space")
    ids = [one.partition("@")[0] for value in variables.values() for one in value.split(",")]
    card.data["models"] = list(dict.fromkeys([*(card.data.get("models") or []), *ids]))
    card.save(out / "README.md")
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
