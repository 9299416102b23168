"""The explanations that run, by browser session, each with the number of its photo and a signal that stops it."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict

__all__ = ["Jobs"]

#: Sessions whose newest photo is remembered.
SESSIONS = 1000


class Jobs:
    """Stop signals of running jobs. A job of an older photo than its session's newest is stopped, also where it starts after that photo came.

    Numbers grow, so it does not matter in which order the requests of a browser arrive. Threads share it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: defaultdict[str, dict[threading.Event, int]] = defaultdict(dict)
        self._newest: OrderedDict[str, int] = OrderedDict()

    def start(self, session: str, photo: int) -> threading.Event:
        """The new job's stop signal, already set where its photo is not the newest."""
        stop = threading.Event()
        self.newest(session, photo)
        with self._lock:
            self._running[session][stop] = photo
            if photo < self._newest.get(session, 0):
                stop.set()
        return stop

    def end(self, session: str, stop: threading.Event) -> None:
        """Forget a job that has ended or is abandoned; its signal is set."""
        stop.set()
        with self._lock:
            self._running[session].pop(stop, None)
            if not self._running[session]:
                del self._running[session]

    def newest(self, session: str, photo: int) -> None:
        """Remember the number of a session's photo, unless a newer one is known, and stop what runs for older ones."""
        with self._lock:
            self._newest[session] = max(photo, self._newest.pop(session, 0))
            while len(self._newest) > SESSIONS:
                self._newest.popitem(last=False)
            for stop, number in self._running.get(session, {}).items():
                if number < photo:
                    stop.set()

    def is_old(self, session: str, photo: int) -> bool:
        """Whether a newer photo than the one of this number is known."""
        with self._lock:
            return photo < self._newest.get(session, 0)

    def stop(self, session: str) -> int:
        """Signal all jobs of a session to stop; how many there are."""
        with self._lock:
            running = list(self._running.get(session, ()))
        for stop in running:
            stop.set()
        return len(running)

    def __len__(self) -> int:
        """Jobs that run."""
        with self._lock:
            return sum(map(len, self._running.values()))
