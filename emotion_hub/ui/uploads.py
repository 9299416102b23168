"""Temporary folder for uploads, which is deleted when the process ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["upload_folder"]

_PREFIX = "emotion_hub_uploads_"


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """A temporary folder that gradio uses for uploads while the context is open.

    gradio deletes only the files that it remembers, so a server that was killed would leave its last visitors' photos:
    folders of processes that have ended are deleted first. `GRADIO_TEMP_DIR` is used unchanged where it is set.
    """
    if os.environ.get("GRADIO_TEMP_DIR"):
        yield Path(os.environ["GRADIO_TEMP_DIR"])
        return
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}_", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ["GRADIO_TEMP_DIR"]


def _remove_leftovers() -> None:
    """Delete upload folders whose process has ended; none where the system cannot tell."""
    if os.name != "posix":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*_*"):
        pid = folder.name.removeprefix(_PREFIX).split("_")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
