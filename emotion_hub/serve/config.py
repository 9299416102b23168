"""How the server runs: one frozen object, checked when it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from emotion_hub.backend_names import AUTO, BACKENDS
from emotion_hub.errors import ConfigError
from emotion_hub.images import MAX_BYTES

__all__ = ["MAX_BODY", "ServeConfig"]

#: The largest body: a picture in base64 with some JSON around it.
MAX_BODY = MAX_BYTES * 4 // 3 + 4096

#: Shorter keys can be tried out.
SHORTEST_KEY = 8


@dataclass(frozen=True)
class ServeConfig:
    """The server's settings; raises ConfigError for one that breaks its rule.

    `models` are embedded names, folders or Hub ids (none: every embedded one), `default` answers where a request names no model (None: native48, or
    the first). `backend` is one of `BACKENDS` or "auto" (None is the same), the default backend of each model. `queue` requests
    are in the house at once, waiting or being worked on; `workers` threads decode and find faces (None: one a core). At most `batch` faces go through
    a network together, collected for at most `batch_wait` milliseconds. `body_timeout` are the seconds a request's body may take to arrive, `timeout`
    and `explain_timeout` those that its answer may take from then on; `explain_at_once` explanations run while `explain_queue` more wait. `max_body`
    is in bytes. `cors` are the origins whose pages may call, none unless named.
    """

    models: tuple[str, ...] = ()
    default: str | None = None
    backend: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    cors: tuple[str, ...] = ()
    queue: int = 64
    workers: int | None = None
    batch: int = 32
    batch_wait: float = 3.0
    timeout: float = 30.0
    body_timeout: float = 20.0
    max_body: int = MAX_BODY
    explain_at_once: int = 1
    explain_queue: int = 4
    explain_timeout: float = 120.0

    def __post_init__(self) -> None:
        for name in ("models", "cors"):
            if isinstance(getattr(self, name), str):
                raise ConfigError(f"{name}={getattr(self, name)!r}: a sequence of strings, also for one of them")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.backend not in (None, AUTO, *BACKENDS):
            raise ConfigError(f"backend={self.backend!r}; choose from {', '.join((AUTO, *BACKENDS))}")
        if not _whole(self.port) or not 0 <= self.port <= 65535:
            raise ConfigError(f"port={self.port!r}: a whole number from 0 (any free port) to 65535")
        for name, least in (
            ("queue", 1),
            ("batch", 1),
            ("max_body", 1024),
            ("explain_at_once", 1),
            ("explain_queue", 0),
        ):
            if not _whole(value := getattr(self, name)) or value < least:
                raise ConfigError(f"{name}={value!r}: a whole number of at least {least}")
        if self.workers is not None and (not _whole(self.workers) or self.workers < 1):
            raise ConfigError(f"workers={self.workers!r}: a whole number of at least 1, or None for one a core")
        for name in ("timeout", "body_timeout", "explain_timeout"):
            if not _number(value := getattr(self, name)) or not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value!r}: seconds, more than 0")
        if not _number(self.batch_wait) or not 0 <= self.batch_wait <= 1000:
            raise ConfigError(f"batch_wait={self.batch_wait!r}: milliseconds from 0 to 1000")
        if self.api_key is not None and (
            len(self.api_key) < SHORTEST_KEY or not self.api_key.isascii() or not self.api_key.isprintable()
        ):
            raise ConfigError(
                f"the API key has {len(self.api_key)} characters; give at least {SHORTEST_KEY}, printable ASCII, or none to let everyone in"
            )
        for origin in self.cors:
            _check_origin(origin)

    @property
    def threads(self) -> int:
        """The number of threads that decode and find faces."""
        return self.workers or os.cpu_count() or 1


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_origin(origin: str) -> None:
    """An origin is what a browser sends: a scheme, a host and perhaps a port; a path would never match."""
    if origin == "*":
        return
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
        raise ConfigError(
            f"cors origin {origin!r}: write it as the browser does, like https://example.org, or * for every page"
        )
