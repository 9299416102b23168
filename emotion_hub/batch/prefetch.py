"""An ordered, bounded look-ahead: threads compute results before they are used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

__all__ = ["ahead"]

Item, Result = TypeVar("Item"), TypeVar("Result")


def ahead(items: Iterable[Item], work: Callable[[Item], Result], workers: int, chunk: int = 16) -> Iterator[Result]:
    """`work(item)` for each item, in the items' order, computed by `workers` threads before the caller needs it.

    Threads take `chunk` items at a time: handing over a single one would cost more than reading a 48-pixel picture. At most two chunks per thread
    wait, so memory is bounded however fast the items arrive. An error of `items` or `work` is raised at its position. Threads end when the iterator is closed.
    """
    chunks = _Chunks(iter(items), work, workers, chunk)
    try:
        while (future := chunks.waiting.get()) is not None:
            yield from future.result()
    finally:
        chunks.close()


class _Chunks:
    """The threads of one `ahead` and the queue of their futures; None marks the end."""

    def __init__(self, items: Iterator, work: Callable, workers: int, chunk: int) -> None:
        self.items, self.work, self.chunk = items, work, chunk
        self.waiting: queue.Queue[Future[list] | None] = queue.Queue(maxsize=2 * workers)
        self.taking, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run, name=f"ahead-{n}", daemon=True) for n in range(workers)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            mine, future = taken
            try:
                future.set_result([self.work(item) for item in mine])
            except BaseException as error:
                future.set_exception(error)

    def _take(self) -> tuple[list, Future[list]] | None:
        """The next items and the future of their results; None when there are no more."""
        with self.taking:  # one thread at a time reads the items: the order of the queue is theirs
            if self.over.is_set():
                return None
            future: Future[list] = Future()
            mine = []
            try:
                mine = list(islice(self.items, self.chunk))
            except BaseException as error:
                future.set_exception(error)
                self.waiting.put(future)
            if not mine:
                self.over.set()
                self.waiting.put(None)
                return None
            self.waiting.put(future)
            return mine, future

    def close(self) -> None:
        self.over.set()
        while any(thread.is_alive() for thread in self.threads):
            try:  # a thread may be waiting for room
                self.waiting.get(timeout=0.01)
            except queue.Empty:
                continue
