"""Model choices: embedded checkpoints, folders and Hub ids.

The operator, who sets the environment variables, may name any folder and any repository that the server's token can
read. A visitor's text is untrusted: it can name public repositories, and folders only inside the directory that the
operator opened.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_hub.checkpoints import CONFIG_FILE, checkpoint_summary, embedded_checkpoints
from emotion_hub.checkpoints.hub import HUB_ID
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
    "operator_choices",
    "role_of",
    "visitor_choice",
]

#: The two sides of a comparison, named by the size of the network's input.
ROLES = ("native48", "upscale224")

#: Environment variables: each role's default model, further choices of the pickers, the directory open to visitors.
ROLE_VARIABLES = {"native48": "EMOTION_HUB_NATIVE48", "upscale224": "EMOTION_HUB_UPSCALE224"}
MORE_VARIABLE, FOLDERS_VARIABLE = "EMOTION_HUB_MODELS", "EMOTION_HUB_MODELS_DIR"

#: Maximum number of characters of a visitor's text.
MAX_CHARACTERS = 300

#: owner/name, with @revision where one is pinned.
_HUB_ID = re.compile(rf"(?P<id>{HUB_ID})(?:@(?P<revision>[\w.][\w./-]*))?", re.ASCII)

_FORMS = "a Hub id 'owner/name' or 'owner/name@revision'"


@dataclass(frozen=True)
class Choice:
    """A model that can be loaded. `name` is shown in the pickers; `folder` or `repo_id` says where it is.

    `trusted` models are named by the operator: they may use the server's token and have no size limit. `variable`
    is the environment variable that names the model, `role` the side of a comparison that the variable is for;
    `problem` says why the variable's text names no model.
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
    """The embedded checkpoint of a role: the one with the role's name, else the first of the role."""
    names = [name for name in embedded_checkpoints() if embedded_role(name) == role]
    return role if role in names else names[0]


def embedded_role(name: str) -> str:
    """The role of an embedded checkpoint."""
    return role_of(PreprocessConfig.from_dict(checkpoint_summary(name)["preprocess"]))


def operator_choices() -> list[Choice]:
    """The models that the environment variables name, the roles' defaults first.

    A text that names no model gives a choice with a `problem`; the demo starts anyway.
    """
    choices: dict[str, Choice] = {}
    named: list[tuple[str, str | None, str]] = [
        (variable, role, os.environ.get(variable, "")) for role, variable in ROLE_VARIABLES.items()
    ]
    named += [(MORE_VARIABLE, None, text) for text in os.environ.get(MORE_VARIABLE, "").split(",")]
    for variable, role, text in named:
        if not text.strip():
            continue
        choice = _operator_choice(text.strip(), variable, role)
        known = choices.setdefault(choice.name, choice)
        if (known.folder, known.repo_id) != (choice.folder, choice.repo_id):
            problem = f"{known.variable} and {variable} name two models {choice.name!r}; rename one of the folders"
            choices[choice.name] = replace(known, folder=None, repo_id="", problem=problem)
    return list(choices.values())


def _operator_choice(text: str, variable: str, role: str | None) -> Choice:
    trusted = Choice(text, trusted=True, role=role, variable=variable)
    if text in embedded_checkpoints():
        return replace(trusted, folder=embedded_checkpoints()[text])
    folder = Path(text).expanduser()
    name = folder.resolve().name  # pages show this name and not where the folder is
    if folder.is_dir():
        if name in embedded_checkpoints():
            problem = f"the folder has the name of the embedded checkpoint {name!r}; rename it"
            return replace(trusted, name=f"folder {name}", problem=problem)
        return replace(trusted, name=name, folder=folder.resolve())
    if match := _HUB_ID.fullmatch(text):
        return replace(trusted, repo_id=match["id"], revision=match["revision"])
    problem = f"it is no folder, no embedded checkpoint ({', '.join(embedded_checkpoints())}) and not {_FORMS}"
    return replace(trusted, name=name, problem=problem)


def visitor_choice(text: str) -> Choice:
    """The model that a visitor's text names.

    A text with one slash is a Hub id, whatever folders exist; a folder is written with a leading './' or as an absolute
    path. Raises CheckpointError for a folder that is not open to visitors and InputError for other texts.
    """
    text = str(text).strip()
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"the model's name has {len(text)} characters, the limit is {MAX_CHARACTERS}; give {_FORMS}")
    if text in embedded_checkpoints():
        return Choice(text, folder=embedded_checkpoints()[text])
    if match := _HUB_ID.fullmatch(text):
        return Choice(text, repo_id=match["id"], revision=match["revision"])
    if text.startswith((".", "/", "~")) or text.count("/") > 1:
        return Choice(text, folder=_folder(text))
    raise InputError(f"no model {text!r}; choose {', '.join(embedded_checkpoints())}, or give {_FORMS}")


def folder_choices() -> list[str]:
    """The checkpoints in the directory open to visitors, as './name'; empty where none is open."""
    opened = _opened()
    if opened is None or not opened.is_dir():
        return []
    return [f"./{folder.name}" for folder in sorted(opened.iterdir()) if (folder / CONFIG_FILE).is_file()]


def _opened() -> Path | None:
    named = os.environ.get(FOLDERS_VARIABLE, "")
    return Path(named).expanduser().resolve() if named else None


def _folder(text: str) -> Path:
    """The folder inside the directory open to visitors.

    Raises CheckpointError for any other folder, with the same message whether it exists or not.
    """
    opened = _opened()
    if opened is None:
        raise CheckpointError(
            f"folders of this server are not open to its visitors; start the app with {FOLDERS_VARIABLE} set to the"
            " directory of your models"
        )
    folder = (opened / text).resolve()  # an absolute text replaces `opened`, and links are followed
    if not folder.is_relative_to(opened):
        raise CheckpointError(
            f"{text!r} is not inside the directory that {FOLDERS_VARIABLE} names; move the folder there, or name its"
            " parent"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"no folder {text!r} in the directory that {FOLDERS_VARIABLE} names; it has"
            f" {', '.join(folder_choices()[:8]) or 'no checkpoint'}"
        )
    return folder
