"""The folder of finished parts beside a result, from which a run that was killed continues.

result.parquet.parts/
    state.json              how the rows are made: source, models, settings
    part-00000.parquet      the rows of the first `part_size` pictures, and so on; a part is complete or absent
    lock                    held by the run that writes here

Parts have the result's suffix and format.
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

from emotion_hub.batch.formats import Format, about_file
from emotion_hub.batch.progress import bar
from emotion_hub.batch.rows import Counts
from emotion_hub.errors import InputError

__all__ = ["Parts"]

log = logging.getLogger(__name__)


class Parts:
    """The parts of one result, and the result when they are merged. Use it inside `with Parts(...).held()`."""

    def __init__(self, out: Path, record: dict[str, Any], form: Format) -> None:
        """`record` says in JSON types how the rows are made, `form` writes them."""
        self.out, self.record, self.form = out, record, form
        self.folder = out.with_name(out.name + ".parts")

    @contextmanager
    def held(self, restart: bool = False) -> Iterator[Parts]:
        """Locked for this process; `restart` deletes existing parts and the result.

        Raises InputError while another process writes the same result, and when existing parts or the result were made in another way.
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
                if not self.numbers():  # merged, or nothing was done
                    shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def finished(self) -> bool:
        """Whether the result exists, made in this way. Raises InputError for another file of that name."""
        if not self.out.exists():
            return False
        existing = self.form.record(self.out)
        if existing is None:
            what = "was not written by score or was changed since"
            raise InputError(
                f"{self.out.name!r} exists already and {what}; choose another name, or --restart to replace it"
            )
        self._compare(existing, f"{self.out.name!r} exists already, made with")
        return True

    def numbers(self) -> set[int]:
        """The parts that exist."""
        return {int(path.stem.removeprefix("part-")) for path in self.folder.glob(f"part-*{self.out.suffix}")}

    def counts(self) -> Counts:
        """What the parts hold together."""
        return sum((self.form.counts(self._part(number)) for number in self.numbers()), Counts())

    def write(self, number: int, content: bytes) -> None:
        """Store a part: complete or not at all, whenever the process dies."""
        _appear(self._part(number), lambda partial: partial.write_bytes(content))

    def merge(self, progress: bool = False) -> None:
        """Write the result from all parts, in their order, then delete them."""
        paths = [self._part(number) for number in sorted(self.numbers())]

        def write(partial: Path) -> None:
            about = self.form.merge(
                bar(paths, progress=progress, desc="writing the result", unit=" parts", delay=1, leave=False), partial
            )
            if about is not None:  # before the result: without it the result would not be recognised
                _appear(
                    about_file(self.out),
                    lambda path: path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8"),
                )

        _appear(self.out, write)
        self._clear()

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}{self.out.suffix}"

    def _check_state(self) -> None:
        """Write how the rows are made, or compare with what is written; remove what a killed run left incomplete."""
        state = self.folder / "state.json"
        partial = [path.with_name(f".{path.name}.partial") for path in (self.out, about_file(self.out))]
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
        _appear(state, lambda partial: partial.write_text(json.dumps(self.record, indent=1), encoding="utf-8"))

    def _compare(self, existing: dict[str, Any], what: str) -> None:
        was, now = _flat(existing), _flat(self.record)
        if changed := [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]:
            detail = ", ".join(f"{key} {was.get(key)!r} (now {now.get(key)!r})" for key in changed)
            raise InputError(f"{what} {detail}; use the earlier settings, another --out, or --restart to start again")

    def _drop_damaged(self) -> None:
        for number in self.numbers():
            if (damage := self.form.damage(self._part(number))) is not None:
                log.warning("part %d is damaged and will be computed again: %s", number, damage)
                self._part(number).unlink()

    def _clear(self) -> None:
        for path in (*self.folder.glob(f"part-*{self.out.suffix}"), *self.folder.glob(".*.partial")):
            path.unlink()


def _appear(path: Path, write: Callable[[Path], Any]) -> None:
    """`write` a file under another name, flush it to the disk, then rename it: after a kill the old or the new file exists."""
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def _lock(file: IO[str], folder: Path) -> None:
    """Held until the file is closed, which the system does for a process that dies."""
    try:
        import fcntl
    except ImportError:  # not on Windows, where a file that is open cannot be replaced anyway
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"another run is writing to {folder.name!r}; wait for it, or choose another --out") from error


def _flat(record: dict[str, Any], above: str = "") -> dict[str, Any]:
    """{"source.path": value} for nested records and lists."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, list):
            value = {str(i): item for i, item in enumerate(value)}
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat
