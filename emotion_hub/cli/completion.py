"""`emotion-hub completion`: completion scripts for bash, zsh and fish."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXAMPLES", "SHELLS", "SUMMARY", "add_options", "run"]

SUMMARY = "print a shell's completion script for emotion-hub"

SHELLS = ("bash", "zsh", "fish")

EXAMPLES = (
    "completion bash >> ~/.bashrc",
    "completion zsh >> ~/.zshrc",
    "completion fish > ~/.config/fish/completions/emotion-hub.fish",
)

#: Completes commands, options and their values. The shell's own file names are offered everywhere else.
_BASH = """_emotion_hub() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}} $previous" in
{values}
            *) case "${{COMP_WORDS[1]}}" in
{options}
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _emotion_hub emotion-hub
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")


def run(args: argparse.Namespace) -> int:
    """The exit status: always 0."""
    from emotion_hub.cli.main import make_parser

    commands = _commands(make_parser())
    if args.shell == "fish":
        print("\n".join(_fish(commands)))
        return 0
    script = _bash(commands)
    print("autoload -U +X bashcompinit && bashcompinit\n" + script if args.shell == "zsh" else script, end="")
    return 0


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """{command: (its summary, its parser)}."""
    [subparsers] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    summaries = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}
    return {name: (summaries[name], command) for name, command in subparsers.choices.items()}


def _shown_actions(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a command that `--help` shows."""
    return [action for action in command._actions if action.help != argparse.SUPPRESS]


def _bash(commands: dict[str, tuple[str, argparse.ArgumentParser]]) -> str:
    values: list[str] = []
    options: list[str] = []
    for name, (_, command) in commands.items():
        actions = _shown_actions(command)
        choices = " ".join(
            str(choice) for action in actions if not action.option_strings for choice in action.choices or ()
        )
        known = " ".join(option for action in actions for option in action.option_strings)
        options.append(
            f'                {name}) case "$word" in -*) words="{known}" ;; *) words="{choices}" ;; esac ;;'
        )
        values += [
            f'            "{name} {option}") words="{" ".join(map(str, action.choices))}" ;;'
            for action in actions
            if action.choices
            for option in action.option_strings
        ]
    return _BASH.format(commands=" ".join(commands), values="\n".join(values), options="\n".join(options))


def _fish(commands: dict[str, tuple[str, argparse.ArgumentParser]]) -> Iterator[str]:
    for name, (summary, command) in commands.items():
        yield f"complete -c emotion-hub -n __fish_use_subcommand -f -a {name} -d {_quoted(summary)}"
        prefix = f"complete -c emotion-hub -n '__fish_seen_subcommand_from {name}'"
        for action in _shown_actions(command):
            choices = f" -x -a {_quoted(' '.join(map(str, action.choices)))}" if action.choices else ""
            long_options = [option.removeprefix("--") for option in action.option_strings if option.startswith("--")]
            yield from (f"{prefix} -l {option} -d {_quoted(action.help or '')}{choices}" for option in long_options)
            if not action.option_strings and action.choices:
                yield f"{prefix}{choices}"


def _quoted(text: str) -> str:
    """The text as one word of a fish script."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
