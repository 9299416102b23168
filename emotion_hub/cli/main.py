"""Argument parser of all commands, aliases and exit statuses."""

from __future__ import annotations

import argparse
import os
import re
import sys

from emotion_hub.cli import batch, compare, completion, explain, export, models, predict, serve, video
from emotion_hub.version import __version__

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["COMMANDS", "main", "make_parser"]

#: The commands in the order of `--help`. Each module has SUMMARY, EXAMPLES, `add_options(parser)` and `run(args)`.
COMMANDS = {
    "predict": predict,
    "compare": compare,
    "explain": explain,
    "batch": batch,
    "video": video,
    "serve": serve,
    "models": models,
    "export": export,
    "completion": completion,
}

#: {name of a command in release 0.1: its name now}. The old names still work and are not shown in `--help`.
ALIASES = {"score": "batch"}

STATUSES = """exit status: 0 when everything was read, 1 when a picture could not be read or a video is damaged (the
others are processed), 2 for a wrong call, a missing extra or an unusable checkpoint, 130 when interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, one of those that `--help` lists."""
    args = make_parser().parse_args(argv)
    from emotion_hub.errors import EmotionHubError

    try:
        if getattr(args, "detector", None):
            _set_detector(args.detector)
        return args.run(args)
    except EmotionHubError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        # without a valid file, the interpreter's flush at exit would raise again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _set_detector(name: str) -> None:
    """Make a detector the default of this process and those that it starts; raises DetectorError for an unknown one."""
    from emotion_hub.detectors import DETECTOR_VARIABLE, get_detector

    get_detector(name)
    os.environ[DETECTOR_VARIABLE] = name


class _Parser(argparse.ArgumentParser):
    """argparse's parser, which also suggests the correct spelling of a misspelt option or command."""

    def error(self, message: str) -> NoReturn:
        super().error(message + self._suggestion(message))

    def _suggestion(self, message: str) -> str:
        import difflib

        if message.startswith("unrecognized arguments:"):
            known = [option for action in self._actions for option in action.option_strings]
            wrong = [word.partition("=")[0] for word in message.split() if word.startswith("-")]
        elif match := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            known, wrong = re.findall(r"[\w.+-]+", match[2]), [match[1]]
        else:
            return ""
        near = [f"{close[0]} for {word}" for word in wrong if (close := difflib.get_close_matches(word, known, 1))]
        return f"; did you mean {', '.join(near)}?" if near else ""


class _MainParser(_Parser):
    """The parser of all commands, which replaces an old command name by the present one."""

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, with `ALIASES`."""
        words = list(sys.argv[1:] if args is None else args)
        if words and words[0] in ALIASES:
            words[0] = ALIASES[words[0]]
        return super().parse_known_args(words, namespace)


class _CommandParser(_Parser):
    """One command's parser: it reports unknown options itself, with its own usage.

    argparse would leave them to the parser of all commands.
    """

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but an unknown argument is an error."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the attribute `run` of its result is the command's function."""
    program = "emotion-hub" if os.path.basename(sys.argv[0]).startswith("emotion-hub") else "python -m emotion_hub"
    parser = _MainParser(
        prog=program,
        description="Facial expressions from 48-pixel faces and their 224-pixel upscales.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"emotion_hub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_CommandParser)
    for name, module in COMMANDS.items():
        examples = "\n".join(f"  {program} {line}" for line in module.EXAMPLES)
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.",
            epilog=f"examples:\n{examples}\n\n{STATUSES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser
