"""The folder of a Space: this repository's demo, with only what it runs on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import RepoCard
from huggingface_hub.utils import HFValidationError, validate_repo_id

from emotion_hub.errors import InputError

__all__ = ["VARIABLES", "space_variables", "write_space_folder"]

ROOT = Path(__file__).parents[2]

#: The Space variables that name the models, by the option that sets them.
VARIABLES = {"native48": "EMOTION_HUB_NATIVE48", "upscale224": "EMOTION_HUB_UPSCALE224", "models": "EMOTION_HUB_MODELS"}

#: What the Space gets of this repository, beside the package.
FILES = ("README.md", "app.py", "requirements.txt", "model_card.md", "LICENSE", "NOTICE", "pyproject.toml")


def space_variables(
    native48: str | None = None, upscale224: str | None = None, models: Sequence[str] = ()
) -> dict[str, str]:
    """{variable: value} for the ids given, each OWNER/NAME or OWNER/NAME@REVISION; raises InputError for one that is no id."""
    chosen = {"native48": native48, "upscale224": upscale224, "models": ",".join(models)}
    for value in filter(None, (native48, upscale224, *models)):
        try:
            validate_repo_id(value.partition("@")[0])
        except HFValidationError as error:
            raise InputError(f"{value!r} is no Hub id, OWNER/NAME or OWNER/NAME@REVISION: {error}") from error
        if value.count("/") != 1 or "," in value:
            raise InputError(
                f"{value!r} is no Hub id; a Space has no folders of yours: publish the model first, then give OWNER/NAME"
            )
    return {VARIABLES[key]: value for key, value in chosen.items() if value}


def write_space_folder(out: Path, variables: dict[str, str]) -> list[str]:
    """The names of the files written to `out`, which must be empty or new; the card's `models` lists the ids as well.

    Raises InputError for a folder in use, and where this is no checkout of the repository.
    """
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} holds files already; name a folder that is new or empty")
    if missing := [name for name in FILES if not (ROOT / name).is_file()]:
        raise InputError(f"{ROOT} lacks {', '.join(missing)}; publish a Space from a checkout of the whole repository")
    shutil.copytree(
        ROOT / "emotion_hub", out / "emotion_hub", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi", ".*")
    )
    for name in FILES:
        shutil.copyfile(ROOT / name, out / name)
    card = RepoCard.load(out / "README.md", repo_type="space")
    ids = [one.partition("@")[0] for value in variables.values() for one in value.split(",")]
    card.data["models"] = list(dict.fromkeys([*(card.data.get("models") or []), *ids]))
    card.save(out / "README.md")
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
