"""What a picker's text means: an embedded checkpoint, a folder, or a repository on the Hub; and who may choose which.

The operator, who sets the environment variables, may name any folder, and any repository their token opens. A visitor's text comes
from anywhere: it reaches public repositories alone, and folders only inside the directory that the operator opened for that.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_hub.checkpoints import CONFIG_FILE, checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.preprocess import PreprocessConfig

__all__ = [
    "FOLDERS_VARIABLE",
    "MORE_VARIABLE",
    "ROLES",
    "ROLE_VARIABLES",
    "Choice",
    "embedded_default",
    "embedded_role",
    "folder_choices",
    "operators_choices",
    "parse",
    "role_of",
]

#: The two sides of a comparison, by the pixels of the network's input.
ROLES = ("native48", "upscale224")

#: Environment variables: each role's default model, further choices of the pickers, the directory whose folders visitors may choose.
ROLE_VARIABLES = {"native48": "EMOTION_HUB_NATIVE48", "upscale224": "EMOTION_HUB_UPSCALE224"}
MORE_VARIABLE, FOLDERS_VARIABLE = "EMOTION_HUB_MODELS", "EMOTION_HUB_MODELS_DIR"

#: Characters of a visitor's text.
LONGEST = 300

#: owner/name, and @revision where one is pinned.
_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w.][\w./-]*))?", re.ASCII)

_FORMS = "a Hub id 'owner/name' or 'owner/name@revision'"


@dataclass(frozen=True)
class Choice:
    """A model that can be loaded. `name` stands in the pickers; one of `folder` and `repo_id` says where it is.

    `trusted` is what the operator named: it may use the server's token and has no limit of size. `role` is the side the operator's
    variable put it on, `variable` that variable's name; `problem` says why the variable's text names nothing.
    """

    name: str
    folder: Path | None = None
    repo_id: str = ""
    revision: str | None = None
    trusted: bool = False
    role: str | None = None
    variable: str = ""
    problem: str = ""


def role_of(config: PreprocessConfig) -> str:
    """The side of a comparison that this preprocessing belongs to."""
    return "native48" if config.size <= 48 else "upscale224"


def embedded_default(role: str) -> str:
    """The embedded checkpoint that answers for a role: the one of its name, else the first of its kind."""
    names = [name for name in embedded_checkpoints() if embedded_role(name) == role]
    return role if role in names else names[0]


def embedded_role(name: str) -> str:
    """The role of an embedded checkpoint."""
    return role_of(PreprocessConfig.from_dict(checkpoint_summary(name)["preprocess"]))


def operators_choices() -> list[Choice]:
    """What the environment variables name, the roles' defaults first. A text that names nothing is a choice with a `problem`: the demo starts all the same."""
    found: dict[str, Choice] = {}
    named = [(variable, role, os.environ.get(variable, "")) for role, variable in ROLE_VARIABLES.items()]
    named += [(MORE_VARIABLE, None, text) for text in os.environ.get(MORE_VARIABLE, "").split(",")]
    for variable, role, text in named:
        if not text.strip():
            continue
        choice = _operators(text.strip(), variable, role)
        known = found.setdefault(choice.name, choice)
        if (known.folder, known.repo_id) != (choice.folder, choice.repo_id):
            problem = f"{known.variable} and {variable} name two models {choice.name!r}; rename one of the folders"
            found[choice.name] = replace(known, folder=None, repo_id="", problem=problem)
    return list(found.values())


def _operators(text: str, variable: str, role: str | None) -> Choice:
    trusted = Choice(text, trusted=True, role=role, variable=variable)
    if text in embedded_checkpoints():
        return replace(trusted, folder=embedded_checkpoints()[text])
    folder = Path(text).expanduser()
    name = folder.resolve().name  # pages show this name and not where the folder is
    if folder.is_dir():
        if name in embedded_checkpoints():
            return replace(
                trusted,
                name=f"folder {name}",
                problem=f"the folder has the name of the embedded checkpoint {name!r}; rename it",
            )
        return replace(trusted, name=name, folder=folder.resolve())
    if match := _HUB_ID.fullmatch(text):
        return replace(trusted, repo_id=match["id"], revision=match["revision"])
    return replace(
        trusted,
        name=name,
        problem=f"it is no folder, no embedded checkpoint ({', '.join(embedded_checkpoints())}) and not {_FORMS}",
    )


def parse(text: str) -> Choice:
    """What a visitor's text means; raises CheckpointError for a folder that is not open to visitors and InputError for what is none of all.

    A text with one slash is a Hub id, whatever folders there are; a folder is written with a leading './' or as an absolute path.
    """
    text = str(text).strip()
    if len(text) > LONGEST:
        raise InputError(f"the model's name has {len(text)} characters; give {_FORMS}")
    if text in embedded_checkpoints():
        return Choice(text, folder=embedded_checkpoints()[text])
    if match := _HUB_ID.fullmatch(text):
        return Choice(text, repo_id=match["id"], revision=match["revision"])
    if text.startswith((".", "/", "~")) or text.count("/") > 1:
        return Choice(text, folder=_folder(text))
    raise InputError(f"no model {text!r}; choose {', '.join(embedded_checkpoints())}, or give {_FORMS}")


def folder_choices() -> list[str]:
    """The checkpoints in the opened directory, as './name'; empty where none is opened."""
    opened = _opened()
    if opened is None or not opened.is_dir():
        return []
    return [f"./{folder.name}" for folder in sorted(opened.iterdir()) if (folder / CONFIG_FILE).is_file()]


def _opened() -> Path | None:
    named = os.environ.get(FOLDERS_VARIABLE, "")
    return Path(named).expanduser().resolve() if named else None


def _folder(text: str) -> Path:
    """The folder inside the opened directory; the refusal is the same whether the folder exists or not, so that nobody learns it."""
    opened = _opened()
    if opened is None:
        raise CheckpointError(
            f"folders of this server are not open to its visitors; start the app with {FOLDERS_VARIABLE} set to the directory of your models"
        )
    folder = (opened / text).resolve()  # an absolute text stands for itself, and links are followed
    if not folder.is_relative_to(opened):
        raise CheckpointError(
            f"{text!r} is not inside the directory that {FOLDERS_VARIABLE} names; move the folder there, or name its parent"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"no folder {text!r} in the directory that {FOLDERS_VARIABLE} names; it has {', '.join(folder_choices()[:8]) or 'no checkpoint'}"
        )
    return folder
