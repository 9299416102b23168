"""The folder of finished parts beside a result: what makes a run that was killed go on where it was.

result.parquet.parts/
    state.json              how the rows are made: source, models, settings
    part-00000.parquet      the rows of the first `part_size` pictures, and so on; a part is there whole or not at all
    lock                    held by the run that writes here
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

from emotion_hub.errors import InputError
from emotion_hub.scoring.pictures import shown_name
from emotion_hub.scoring.rows import arrow, record_of

__all__ = ["Parts"]

log = logging.getLogger(__name__)

#: Rows that a row group of the result has, about: small ones read slowly, large ones need memory.
_GROUP = 65_536


class Parts:
    """The parts of one result, and the result when they are merged. Use it inside `with Parts(...).held()`."""

    def __init__(self, out: Path, record: dict[str, Any]) -> None:
        """`record` says in JSON types how the rows are made. Raises InputError for an `out` that cannot be written."""
        if out.suffix.lower() != ".parquet" or not out.parent.is_dir() or out.is_dir():
            raise InputError(f"out={shown_name(out)!r}: name a .parquet file in a folder that exists")
        self.out, self.record = out, record
        self.folder = out.with_name(out.name + ".parts")

    @contextmanager
    def held(self, restart: bool = False) -> Iterator[Parts]:
        """Held for this process alone; `restart` drops what is there.

        Raises InputError while another process writes the same result, and when what is there was made in another way.
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
        """Whether the result is there, made in this way. Raises InputError for another file of that name."""
        if not self.out.exists():
            return False
        pa = arrow()
        try:
            there = record_of(pa.parquet.read_schema(self.out).metadata)
        except (pa.ArrowException, OSError):
            there = None
        if there is None:
            raise InputError(f"{self.out.name!r} is there already and is no result of score; choose another name, or --restart to replace it")
        self._compare(there, f"{self.out.name!r} is there already, made with")
        return True

    def numbers(self) -> set[int]:
        """The parts that are there."""
        return {int(path.stem.removeprefix("part-")) for path in self.folder.glob("part-*.parquet")}

    def pictures(self) -> int:
        """How many pictures the parts hold."""
        read = arrow().parquet.read_table
        return sum(len(read(self._part(number), columns=["picture"])["picture"].unique()) for number in self.numbers())

    def write(self, number: int, table: Any) -> None:
        """Store a part: on the disk whole or not at all, whenever the process dies."""
        pa = arrow()
        _appear(self._part(number), lambda partial: pa.parquet.write_table(table, partial))

    def merge(self, schema: Any) -> None:
        """The result from all parts, in their order, then no parts any more."""
        pa = arrow()

        def write(partial: Path) -> None:
            with pa.parquet.ParquetWriter(partial, schema) as writer:
                waiting: list[Any] = []
                for number in sorted(self.numbers()):
                    waiting.append(pa.parquet.read_table(self._part(number), schema=schema))
                    if sum(table.num_rows for table in waiting) >= _GROUP:
                        writer.write_table(pa.concat_tables(waiting))
                        waiting.clear()
                if waiting:
                    writer.write_table(pa.concat_tables(waiting))

        _appear(self.out, write)
        self._clear()

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def _check_state(self) -> None:
        """Write how the rows are made, or compare with what is written; remove what a killed run left half done."""
        state = self.folder / "state.json"
        for leftover in (*self.folder.glob(".*.partial"), self.out.with_name(f".{self.out.name}.partial")):
            leftover.unlink(missing_ok=True)
        if self.numbers():
            try:
                there = json.loads(state.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise InputError(f"{self.folder.name!r} holds parts but no state that can be read ({error}); use --restart to begin anew") from error
            self._compare(there, f"{self.folder.name!r} holds parts made with")
            self._drop_damaged()
        _appear(state, lambda partial: partial.write_text(json.dumps(self.record, indent=1), encoding="utf-8"))

    def _compare(self, there: dict[str, Any], what: str) -> None:
        was, now = _flat(there), _flat(self.record)
        if changed := [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]:
            detail = ", ".join(f"{key} {was.get(key)!r} (now {now.get(key)!r})" for key in changed)
            raise InputError(f"{what} {detail}; use the settings of then, another --out, or --restart to begin anew")

    def _drop_damaged(self) -> None:
        pa = arrow()
        for number in self.numbers():
            try:
                pa.parquet.read_metadata(self._part(number))
            except (pa.ArrowException, OSError) as error:
                log.warning("part %d is damaged and made anew: %s", number, error)
                self._part(number).unlink()

    def _clear(self) -> None:
        for path in (*self.folder.glob("part-*.parquet"), *self.folder.glob(".*.partial")):
            path.unlink()


def _appear(path: Path, write: Callable[[Path], Any]) -> None:
    """`write` a file under another name, bring it to the disk, then give it its name: a kill leaves the old file or the new one."""
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
