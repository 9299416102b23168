"""Resumable runs: the folder of finished parts beside a result.

    result.parquet.parts/
        state.json              how the rows are made: source, models, settings
        part-00000.parquet      the rows of the first `part_size` pictures, and so on; a part is complete or absent
        lock                    locked by the run that writes here

A run that was killed continues from its parts. Parts have the result's suffix and format.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from emotion_hub.batch.formats import Format, metadata_file
from emotion_hub.batch.progress import bar
from emotion_hub.batch.rows import Counts
from emotion_hub.errors import InputError

__all__ = ["Parts"]

log = logging.getLogger(__name__)


class Parts:
    """The parts of one result, and their merge into it. Use it inside `with Parts(...).locked()`."""

    def __init__(self, out: Path, record: dict[str, Any], file_format: Format) -> None:
        """`record` says in JSON types how the rows are made; `file_format` writes them."""
        self.out, self.record, self.file_format = out, record, file_format
        self.folder = out.with_name(out.name + ".parts")

    @contextmanager
    def locked(self, restart: bool = False) -> Iterator[Parts]:
        """Lock the folder for this process; `restart` deletes existing parts and the result.

        Raises InputError while another process writes the same result, and when the record of existing parts or of the
        result differs from this one.
        """
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            _lock(lock, self.folder)
            try:
                if restart:
                    self.out.unlink(missing_ok=True)
                if restart or self.finished:
                    self._clear()
                self._check_state()
                yield self
            finally:
                if not self.numbers():  # the parts are merged, or there was nothing to do
                    shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def finished(self) -> bool:
        """Whether the result exists with the same record. Raises InputError for another file of that name."""
        if not self.out.exists():
            return False
        existing = self.file_format.record(self.out)
        if existing is None:
            raise InputError(
                f"{self.out.name!r} exists already and was not written by emotion_hub.batch or was changed since;"
                " choose another name, or --restart to replace it"
            )
        self._compare(existing, f"{self.out.name!r} exists already, made with")
        return True

    def numbers(self) -> set[int]:
        """The numbers of the existing parts."""
        return {int(path.stem.removeprefix("part-")) for path in self.folder.glob(f"part-*{self.out.suffix}")}

    def counts(self) -> Counts:
        """The sum of the parts' counts."""
        return sum((self.file_format.counts(self._part(number)) for number in self.numbers()), Counts())

    def write(self, number: int, content: bytes) -> None:
        """Write a part atomically: if the process is killed, the part is complete or absent."""
        _write_atomically(self._part(number), lambda partial: partial.write_bytes(content))

    def merge(self, progress: bool = False) -> None:
        """Write the result from all parts, in their order, then delete the parts."""
        paths = [self._part(number) for number in sorted(self.numbers())]

        def write(partial: Path) -> None:
            shown = bar(paths, progress=progress, desc="writing the result", unit=" parts", delay=1, leave=False)
            metadata = self.file_format.merge(shown, partial)
            if metadata is not None:  # first the metadata: without it the result would not be recognised
                text = json.dumps(metadata, indent=1) + "\n"
                _write_atomically(metadata_file(self.out), lambda path: path.write_text(text, encoding="utf-8"))

        _write_atomically(self.out, write)
        self._clear()

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}{self.out.suffix}"

    def _check_state(self) -> None:
        """Write the record, or compare with the existing one; remove the incomplete files of a killed run."""
        state = self.folder / "state.json"
        partial = [path.with_name(f".{path.name}.partial") for path in (self.out, metadata_file(self.out))]
        for leftover in (*self.folder.glob(".*.partial"), *partial):
            leftover.unlink(missing_ok=True)
        if self.numbers():
            try:
                existing = json.loads(state.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{self.folder.name!r} holds parts but no readable state ({error}); use --restart to start again"
                ) from error
            self._compare(existing, f"{self.folder.name!r} holds parts made with")
            self._drop_damaged()
        _write_atomically(state, lambda path: path.write_text(json.dumps(self.record, indent=1), encoding="utf-8"))

    def _compare(self, existing: dict[str, Any], what: str) -> None:
        before, now = _flatten(existing), _flatten(self.record)
        if changed := [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]:
            detail = ", ".join(f"{key} {before.get(key)!r} (now {now.get(key)!r})" for key in changed)
            raise InputError(f"{what} {detail}; use the earlier settings, another --out, or --restart to start again")

    def _drop_damaged(self) -> None:
        for number in self.numbers():
            if (damage := self.file_format.damage(self._part(number))) is not None:
                log.warning("part %d is damaged and will be computed again: %s", number, damage)
                self._part(number).unlink()

    def _clear(self) -> None:
        for path in (*self.folder.glob(f"part-*{self.out.suffix}"), *self.folder.glob(".*.partial")):
            path.unlink()


def _write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write` on a temporary name, flush the file to the disk and rename it to `path`.

    After a kill the old or the new file exists, complete.
    """
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def _lock(file: IO[str], folder: Path) -> None:
    """Lock the file until it is closed; the system closes it when the process ends.

    Raises InputError where another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no fcntl, and an open file cannot be replaced there anyway
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"another run is writing to {folder.name!r}; wait for it, or choose another --out") from error


def _flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"source.path": value} for nested dicts and lists."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, list):
            value = {str(i): item for i, item in enumerate(value)}
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
