"""`python -m emotion_hub serve`: from settings to a running server, and its orderly end."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from types import FrameType
from typing import Any, NoReturn

import uvicorn

from emotion_hub.errors import EmotionHubError
from emotion_hub.serve.app import create_app
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.demo import end_event_streams, mount_demo

__all__ = ["KEY_VARIABLE", "config_of", "serve"]

#: The environment variable that holds the API key; an argument shows it to everyone who lists this machine's processes.
KEY_VARIABLE = "EMOTION_HUB_API_KEY"

#: Seconds that requests in flight have to finish after the signal; those that do not get 503. With what comes before and after, the process ends within 3.
GRACE = 1.0

#: One JSON object a line on standard output, from us and from uvicorn; of others, warnings only.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "emotion_hub.serve.request_log.JsonLines"}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
    "root": {"handlers": ["lines"], "level": "WARNING"},
    "loggers": {"emotion_hub": {"level": "INFO"}, "uvicorn": {"level": "INFO"}},
}


def config_of(given: Mapping[str, Any]) -> ServeConfig:
    """The settings from command-line values, the API key from the environment where none is given. Raises ConfigError."""
    values = dict(given)
    if "api_key" not in values and os.environ.get(KEY_VARIABLE):
        values["api_key"] = os.environ[KEY_VARIABLE]
    return ServeConfig(**values)


def serve(
    config: ServeConfig, demo: Callable[[], AbstractContextManager[tuple[Any, Mapping[str, Any]]]] | None = None
) -> int:
    """Serve until stopped; `demo` opens the page to mount and its launch options, and is closed at the end. The exit status of a server that failed.

    SIGTERM and SIGINT end the process within 3 seconds, with status 0. Raises what kept the models from being loaded, where that is one of our own errors.
    """
    app = create_app(config=config)
    models = app.state.service.models
    # uvicorn raises the signal again when everything is answered and closed: leaving by SystemExit closes the demo's uploads too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            if demo is not None:
                mount_demo(app, *stack.enter_context(demo()))
            server = _Server(
                uvicorn.Config(
                    app,
                    host=config.host,
                    port=config.port,
                    log_config=LOGGING,
                    access_log=False,
                    server_header=False,
                )
            )
            models.on_failure = lambda: setattr(server, "should_exit", True)
            server.run()
    except KeyboardInterrupt:
        _end_process(0)
    except SystemExit as end:  # 0 after SIGTERM; uvicorn's own 3 where the address cannot be bound
        _end_process(int(end.code or 0))
    if isinstance(models.failure, EmotionHubError):
        raise models.failure
    return 1 if models.failure or not server.started else 0


class _Server(uvicorn.Server):
    """uvicorn's server, whose grace period begins at the signal, and which ends the demo's event streams: an open page would take all of the period."""

    _signalled: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signalled = self._signalled or time.monotonic()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        end_event_streams(self.config.app)
        late = (
            time.monotonic() - self._signalled if self._signalled else 0.0
        )  # where explanations take all cores, the event loop waits for its turn
        self.config.timeout_graceful_shutdown = max(
            0.0, GRACE - late
        )  # declared as int; asyncio.wait_for takes a fraction too
        await super().shutdown(sockets)


def _end_process(status: int) -> NoReturn:
    """Exit without waiting for threads, after the exit handlers.

    An explanation that was given up, or the loading of a model, still runs in its thread. Python would kill that thread when it comes back from torch's
    C++ code, which aborts the process ("terminate called without an active exception"), and it would wait for the demo's thread pool.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the process that read the log may have exited
            stream.flush()
    os._exit(status)
