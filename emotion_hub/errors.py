"""Exception classes, and helpers for the messages of errors.

    EmotionHubError
    ├── InputError (ValueError)           an argument of the caller
    │   ├── ImageError                    not an image this package reads
    │   │   └── ImageTooLargeError        over the byte or pixel limit
    │   ├── LabelError                    a name outside a label set
    │   ├── LeakError                     an image is in two splits
    │   ├── ManifestError                 a file or row of a data set that cannot be used
    │   └── VideoError                    not a video this package reads, or a damaged one
    ├── ConfigError (ValueError)          a configuration that breaks a rule
    │   └── UnknownModelError (KeyError)  a name that is not registered
    ├── CheckpointError                   files of a checkpoint: missing, unsafe or of another network
    │   └── MissingFileError              the checkpoint exists and lacks this file
    ├── DetectorError                     a face detector that cannot be built
    ├── PublishError                      an upload that the Hub refused or that is incomplete
    └── MissingDependencyError (ImportError)  an optional package is not installed

Every message names the offending value, the rule and the next step.
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

#: Longest repr of a value in a message, in characters.
LONGEST = 60


class EmotionHubError(Exception):
    """Base class of the errors that this package raises on purpose."""


class InputError(EmotionHubError, ValueError):
    """An argument has the wrong type, shape or range."""


class ImageError(InputError):
    """The input is not an image this package reads."""


class ImageTooLargeError(ImageError):
    """The image is over the byte or the pixel limit."""


class LabelError(InputError):
    """A label is not in the label set, or a label set breaks a rule."""


class LeakError(InputError):
    """An image of an evaluation split is in the training split too."""


class ManifestError(InputError):
    """A file or row of a data set breaks a rule; the message names it."""


class VideoError(InputError):
    """The input is not a video this package reads, or it is damaged from some frame on."""


class ConfigError(EmotionHubError, ValueError):
    """A configuration breaks one of its rules."""


class UnknownModelError(ConfigError, KeyError):
    """No network, checkpoint or preprocessing has this name."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class CheckpointError(EmotionHubError):
    """A checkpoint's files are missing, unsafe or belong to another network."""


class MissingFileError(CheckpointError):
    """The folder or repository exists, but the file is not in it."""


class DetectorError(EmotionHubError):
    """A face detector cannot be built from the given file or options."""


class PublishError(EmotionHubError):
    """The Hub refused an upload, or it is incomplete; the message gives the repository's state and the next step."""


class MissingDependencyError(EmotionHubError, ImportError):
    """An optional package is missing; the message names the extra that installs it."""


def missing_extra(what: str, extra: str, error: ImportError | None = None) -> MissingDependencyError:
    """The error to raise when `what` needs packages of this project's `extra`; `error` is the failed import.

    The project is not on a package index, so the message names the ways to install it in README instead of a package.
    Raises `error` itself when a module of this package is missing, because no extra installs that.
    """
    if error is not None and (error.name or "").partition(".")[0] == "emotion_hub":
        raise error
    reason = f" ({error.name or first_line(error)} is not installed)" if error else ""
    return MissingDependencyError(
        f"{what} needs the extra {extra!r}{reason}: "
        f'pip install ".[{extra}]" in a checkout, or see "Installation" in README'
    )


def shown(value: Any) -> str:
    """The repr of a value for a message, cut to `LONGEST` characters, since the value may be the bytes of an image."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class name when the message is empty, as with some HTTP clients."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
