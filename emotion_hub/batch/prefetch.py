"""Ordered, bounded prefetching: threads compute results before they are used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeVar

__all__ = ["prefetch"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    items: Iterable[Item], work: Callable[[Item], Result], workers: int, chunk: int = 16
) -> Generator[Result, None, None]:
    """`work(item)` for each item, in the items' order, computed by `workers` threads before the caller needs it.

    Threads take `chunk` items at a time: handing over single items would cost more than reading a 48-pixel picture. At
    most two chunks per thread wait in the queue, which bounds the memory. An error of `items` or `work` is raised at
    its position. The threads end when the iterator is closed.
    """
    chunks = _Chunks(iter(items), work, workers, chunk)
    try:
        while (future := chunks.waiting.get()) is not None:
            yield from future.result()
    finally:
        chunks.close()


class _Chunks:
    """The threads of one `prefetch` and the queue of their futures; None marks the end."""

    def __init__(self, items: Iterator[Any], work: Callable[[Any], Any], workers: int, chunk: int) -> None:
        self.items, self.work, self.chunk = items, work, chunk
        self.waiting: queue.Queue[Future[list[Any]] | None] = queue.Queue(maxsize=2 * workers)
        self.take_lock, self.closed = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run, name=f"prefetch-{n}", daemon=True) for n in range(workers)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            items, future = taken
            try:
                future.set_result([self.work(item) for item in items])
            except BaseException as error:
                future.set_exception(error)

    def _take(self) -> tuple[list[Any], Future[list[Any]]] | None:
        """The next items and the future of their results; None when there are no more."""
        with self.take_lock:  # one thread at a time reads items, so the futures are queued in the items' order
            if self.closed.is_set():
                return None
            future: Future[list[Any]] = Future()
            taken: list[Any] = []
            try:
                taken = list(islice(self.items, self.chunk))
            except BaseException as error:
                future.set_exception(error)
                self.waiting.put(future)
            if not taken:
                self.closed.set()
                self.waiting.put(None)
                return None
            self.waiting.put(future)
            return taken, future

    def close(self) -> None:
        self.closed.set()
        while any(thread.is_alive() for thread in self.threads):
            try:  # a thread may be waiting for space in the queue
                self.waiting.get(timeout=0.01)
            except queue.Empty:
                continue
