"""`python -m emotion_hub`: the command line; see `emotion_hub.cli`."""

from __future__ import annotations

import sys

from emotion_hub.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
