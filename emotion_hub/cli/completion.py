"""`emotion-hub completion`: the script that lets a shell complete commands, options and their values."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # as in emotion_hub
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXAMPLES", "SHELLS", "SUMMARY", "add_options", "run"]

SUMMARY = "a shell's completion script for emotion-hub"

SHELLS = ("bash", "zsh", "fish")

EXAMPLES = (
    "completion bash >> ~/.bashrc",
    "completion zsh >> ~/.zshrc",
    "completion fish > ~/.config/fish/completions/emotion-hub.fish",
)

#: Completes commands and options; elsewhere, and after options with free values, the shell's own file names.
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
    """The command's arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell to print a script for")


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    from emotion_hub.cli.main import make_parser

    commands = _commands(make_parser())
    if args.shell == "fish":
        print("\n".join(_fish(commands)))
        return 0
    script = _bash(commands)
    print("autoload -U +X bashcompinit && bashcompinit\n" + script if args.shell == "zsh" else script, end="")
    return 0


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """{command: (what it does, its parser)}."""
    [chosen] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    about = {choice.dest: choice.help or "" for choice in chosen._choices_actions}
    return {name: (about[name], command) for name, command in chosen.choices.items()}


def _bash(commands: dict[str, tuple[str, argparse.ArgumentParser]]) -> str:
    values, options = [], []
    for name, (_, command) in commands.items():
        choices = " ".join(
            str(choice) for action in command._actions if not action.option_strings for choice in action.choices or ()
        )
        known = " ".join(option for action in command._actions for option in action.option_strings)
        options.append(
            f'                {name}) case "$word" in -*) words="{known}" ;; *) words="{choices}" ;; esac ;;'
        )
        for action in command._actions:
            values += [
                f'            "{name} {option}") words="{" ".join(map(str, action.choices))}" ;;'
                for option in action.option_strings
                if action.choices
            ]
    return _BASH.format(commands=" ".join(commands), values="\n".join(values), options="\n".join(options))


def _fish(commands: dict[str, tuple[str, argparse.ArgumentParser]]) -> Iterator[str]:
    for name, (about, command) in commands.items():
        yield f"complete -c emotion-hub -n __fish_use_subcommand -f -a {name} -d {_quoted(about)}"
        within = f"complete -c emotion-hub -n '__fish_seen_subcommand_from {name}'"
        for action in command._actions:
            choices = f" -x -a {_quoted(' '.join(map(str, action.choices)))}" if action.choices else ""
            longs = [option.removeprefix("--") for option in action.option_strings if option.startswith("--")]
            yield from (f"{within} -l {option} -d {_quoted(action.help or '')}{choices}" for option in longs)
            if not action.option_strings and action.choices:
                yield f"{within}{choices}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
