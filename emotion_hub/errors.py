"""The exception tree: everything this package raises on purpose.

    EmotionHubError
    ├── InputError (ValueError)           what the caller handed in
    │   ├── ImageError                    not an image this package reads
    │   │   └── ImageTooLargeError        over the byte or pixel limit
    │   ├── LabelError                    a name outside a label set
    │   ├── LeakError                     an image stands in two splits
    │   ├── ManifestError                 a data set's file or row that cannot be used
    │   └── VideoError                    not a video this package reads, or a damaged one
    ├── ConfigError (ValueError)          a configuration that breaks its own rules
    │   └── UnknownModelError (KeyError)  a name the model registry does not have
    ├── CheckpointError                   files of a checkpoint: missing, unsafe or of another network
    │   └── MissingFileError              the checkpoint exists and lacks this file
    ├── DetectorError                     a face detector that cannot be built
    ├── PublishError                      the Hub refused or lost an upload
    └── MissingDependencyError (ImportError)  an optional package is not installed

Every message names the value that came, the rule it broke and the next step.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DetectorError",
    "EmotionHubError",
    "ImageError",
    "ImageTooLargeError",
    "InputError",
    "LabelError",
    "LeakError",
    "ManifestError",
    "MissingDependencyError",
    "MissingFileError",
    "PublishError",
    "UnknownModelError",
    "VideoError",
    "first_line",
    "missing_extra",
    "shown",
]

#: Characters of a value in a message.
LONGEST = 60


class EmotionHubError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(EmotionHubError, ValueError):
    """An argument has the wrong type, shape or range."""


class ImageError(InputError):
    """The input is not an image this package reads."""


class ImageTooLargeError(ImageError):
    """The image is over the byte or the pixel limit."""


class LabelError(InputError):
    """A label is in none of the known sets."""


class LeakError(InputError):
    """An image of an evaluation split stands in the training split too."""


class ManifestError(InputError):
    """A file or row of a data set breaks a rule; the message names it."""


class VideoError(InputError):
    """The input is not a video this package reads, or it is damaged from some point on."""


class ConfigError(EmotionHubError, ValueError):
    """A configuration breaks one of its rules."""


class UnknownModelError(ConfigError, KeyError):
    """No network, checkpoint or preprocessing has this name."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class CheckpointError(EmotionHubError):
    """A checkpoint's files are missing, unsafe or belong to another network."""


class MissingFileError(CheckpointError):
    """The folder or repository exists and does not have the file."""


class DetectorError(EmotionHubError):
    """A face detector cannot be built from what was given."""


class PublishError(EmotionHubError):
    """The Hub refused or lost an upload; the message says what stands there now and what to do."""


class MissingDependencyError(EmotionHubError, ImportError):
    """An optional package is missing; the message names the extra that installs it."""


def missing_extra(what: str, extra: str, error: ImportError | None = None) -> MissingDependencyError:
    """The error to raise where `what` needs packages of an extra of this project; `error` is the failed import.

    No package index has this project, so the message points at README's ways to install it instead of a package name. Raises `error` itself where a module
    of this package is missing: no extra would install that.
    """
    if error is not None and (error.name or "").partition(".")[0] == "emotion_hub":
        raise error
    reason = f" ({error.name or first_line(error)} is not installed)" if error else ""
    return MissingDependencyError(
        f'{what} needs the extra {extra!r}{reason}: pip install ".[{extra}]" in a checkout, or see "Installation" in README'
    )


def shown(value: Any) -> str:
    """A value's repr in a message: short, since it may be a whole picture in the wrong place."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def first_line(error: BaseException) -> str:
    """What a foreign error says first, for a message of ours; its class where it says nothing, as some clients' errors do."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
