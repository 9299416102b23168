"""Server configuration: a frozen dataclass, validated when it is created."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from emotion_hub.backend_names import AUTO, BACKENDS
from emotion_hub.errors import ConfigError
from emotion_hub.images import MAX_BYTES

__all__ = ["MAX_BODY", "ServeConfig"]

#: Default size limit of a body in bytes: an image of the largest size in base64, and some JSON around it.
MAX_BODY = MAX_BYTES * 4 // 3 + 4096

#: Minimum length of the API key; shorter keys can be guessed.
MIN_KEY_LENGTH = 8

#: Integer settings and their minimum.
MINIMUMS = {"queue": 1, "batch": 1, "max_body": 1024, "explain_at_once": 1, "explain_queue": 0}


@dataclass(frozen=True)
class ServeConfig:
    """The server's settings; raises ConfigError for a value that breaks its rule.

    Models:
        models: embedded names, folders or Hub ids; empty for all embedded checkpoints.
        default: the model for requests that name none; None for native48, or the first if native48 is not served.
        backend: one of `BACKENDS` or "auto"; None is "auto", the default backend of each model.

    Network:
        host, port: the address to listen on; port 0 is any free port.
        api_key: the key that requests must send; None for no key.
        cors: origins whose web pages may call the server, or "*".

    Limits:
        queue: maximum number of requests in flight, waiting or running; others get 503.
        workers: threads that decode images and detect faces; None for one per core.
        batch: maximum number of faces per batch.
        batch_wait: maximum time in milliseconds to collect a batch.
        timeout, explain_timeout: deadline in seconds of a prediction and of an explanation, from the end of its body.
        body_timeout: time in seconds in which a body must arrive.
        max_body: maximum size of a body in bytes.
        explain_at_once: explanations that run at the same time.
        explain_queue: explanations that wait meanwhile.
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
            if isinstance(value := getattr(self, name), str):
                raise ConfigError(f"{name}={value!r}: a sequence of strings, also for a single one; use ({value!r},)")
            object.__setattr__(self, name, tuple(value))
        if self.backend not in (None, AUTO, *BACKENDS):
            raise ConfigError(f"backend={self.backend!r}; choose from {', '.join((AUTO, *BACKENDS))}")
        if not _is_integer(self.port) or not 0 <= self.port <= 65535:
            raise ConfigError(f"port={self.port!r}: a whole number from 0 (any free port) to 65535")
        for name, minimum in MINIMUMS.items():
            if not _is_integer(value := getattr(self, name)) or value < minimum:
                raise ConfigError(f"{name}={value!r}: a whole number of at least {minimum}")
        if self.workers is not None and (not _is_integer(self.workers) or self.workers < 1):
            raise ConfigError(f"workers={self.workers!r}: a whole number of at least 1, or None for one per core")
        for name in ("timeout", "body_timeout", "explain_timeout"):
            if not _is_number(value := getattr(self, name)) or not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value!r}: seconds, more than 0 and finite")
        if not _is_number(self.batch_wait) or not 0 <= self.batch_wait <= 1000:
            raise ConfigError(f"batch_wait={self.batch_wait!r}: milliseconds from 0 to 1000")
        if self.api_key is not None:
            _check_key(self.api_key)
        for origin in self.cors:
            _check_origin(origin)

    @property
    def threads(self) -> int:
        """The number of threads that decode images and detect faces."""
        return self.workers or os.cpu_count() or 1


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_key(key: str) -> None:
    """Raises ConfigError for a key that is too short or does not fit in a header; the message does not show the key."""
    if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"the API key has {len(key)} characters; use at least {MIN_KEY_LENGTH} printable ASCII characters, "
            "or None to serve without a key"
        )


def _check_origin(origin: str) -> None:
    """Raises ConfigError unless `origin` is written as browsers send it: scheme, host, perhaps a port, and no path."""
    if origin == "*":
        return
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
        raise ConfigError(f"cors origin {origin!r}: give scheme and host, like https://example.org, or * for all")
