"""`emotion-hub models`: list the embedded checkpoints and the networks."""

from __future__ import annotations

import argparse

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "list the checkpoints in this package, and the networks of create_model"

EXAMPLES = ("models", "models --networks --json")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "--networks", action="store_true", help="also list the networks of create_model, which needs the extra torch"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """The exit status: always 0."""
    import json

    from emotion_hub.checkpoints import checkpoint_summary, embedded_checkpoints

    rows = [checkpoint_summary(name) for name in embedded_checkpoints()]
    networks = _networks() if args.networks else None
    if args.json:
        print(json.dumps({"checkpoints": rows, **({} if networks is None else {"networks": networks})}, indent=2))
        return 0
    print(f"{'CHECKPOINT':12}  {'NETWORK':16}  {'INPUT':7}  ACCURACY")
    for row in rows:
        if row["accuracy"] is None:
            accuracy = "not measured"
        else:
            accuracy = f"{row['accuracy']:.2%} on {row['split']} (n={row['n']})"
        side = row["preprocess"].get("size", "?")
        print(f"{row['name']:12}  {row['model']:16}  {f'{side}x{side}':7}  {accuracy}")
    if networks is not None:
        print("networks for create_model: " + ", ".join(networks))
    return 0


def _networks() -> list[str]:
    from emotion_hub.models import list_models

    return list_models()
