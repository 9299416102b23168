"""Running jobs per browser session, each with a stop signal."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict

__all__ = ["Jobs"]

#: Number of sessions whose newest photo is remembered.
SESSIONS = 1000


class Jobs:
    """Stop signals of running jobs, shared by threads.

    A job for an older photo than its session's newest is stopped, also when it starts after that photo arrived. Numbers
    increase with time, so the order in which a browser's requests arrive does not matter.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: defaultdict[str, dict[threading.Event, int]] = defaultdict(dict)
        self._newest: OrderedDict[str, int] = OrderedDict()

    def start(self, session: str, photo: int) -> threading.Event:
        """The stop signal of the new job, already set where its photo is not the newest."""
        stop = threading.Event()
        self.newest(session, photo)
        with self._lock:
            self._running[session][stop] = photo
            if photo < self._newest.get(session, 0):
                stop.set()
        return stop

    def end(self, session: str, stop: threading.Event) -> None:
        """Set the stop signal of a job that has ended or was abandoned, and remove the job."""
        stop.set()
        with self._lock:
            self._running[session].pop(stop, None)
            if not self._running[session]:
                del self._running[session]

    def newest(self, session: str, photo: int) -> None:
        """Store the number of a session's photo, unless a newer one is known, and stop the jobs of older photos."""
        with self._lock:
            self._newest[session] = max(photo, self._newest.pop(session, 0))
            while len(self._newest) > SESSIONS:
                self._newest.popitem(last=False)
            for stop, number in self._running.get(session, {}).items():
                if number < photo:
                    stop.set()

    def is_old(self, session: str, photo: int) -> bool:
        """Whether a newer photo is known than the one of this number."""
        with self._lock:
            return photo < self._newest.get(session, 0)

    def stop(self, session: str) -> int:
        """Stop all jobs of a session and return how many there are."""
        with self._lock:
            running = list(self._running.get(session, ()))
        for stop in running:
            stop.set()
        return len(running)

    def __len__(self) -> int:
        """The number of running jobs."""
        with self._lock:
            return sum(map(len, self._running.values()))
