"""Start the server from the command line and stop it on a signal.

The command is `python -m emotion_hub serve`.
"""

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
from fastapi import FastAPI

from emotion_hub.errors import EmotionHubError
from emotion_hub.gradio_compat import end_event_streams
from emotion_hub.serve.app import create_app
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.demo import mount_demo, mounted_demo

__all__ = ["KEY_VARIABLE", "config_of", "serve"]

#: The environment variable with the API key. Command-line arguments are visible to all users of the machine.
KEY_VARIABLE = "EMOTION_HUB_API_KEY"

#: Seconds that requests in flight have to finish after the signal; the others get 503. With the work before and after
#: this period the process ends within 3 seconds.
GRACE_PERIOD = 1.0

#: One JSON object per line on standard output, from emotion_hub and uvicorn; only warnings from other libraries.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "emotion_hub.serve.request_log.JsonFormatter"}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
    "root": {"handlers": ["lines"], "level": "WARNING"},
    "loggers": {"emotion_hub": {"level": "INFO"}, "uvicorn": {"level": "INFO"}},
}


def config_of(given: Mapping[str, Any]) -> ServeConfig:
    """The configuration from command-line values; an API key that is not given is read from the environment.

    Raises ConfigError.
    """
    values = dict(given)
    if "api_key" not in values and os.environ.get(KEY_VARIABLE):
        values["api_key"] = os.environ[KEY_VARIABLE]
    return ServeConfig(**values)


def serve(
    config: ServeConfig, demo: Callable[[], AbstractContextManager[tuple[Any, Mapping[str, Any]]]] | None = None
) -> int:
    """The exit status of a server that failed; serves until it is stopped.

    `demo` opens the demo to mount and its launch options, and is closed at the end. SIGTERM and SIGINT end the process
    within 3 seconds, with status 0. Raises the EmotionHubError that stopped the models from loading.
    """
    app = create_app(config=config)
    models = app.state.service.models
    # uvicorn raises the signal again when all requests are answered; SystemExit also closes the demo's upload folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            if demo is not None:
                mount_demo(app, *stack.enter_context(demo()))
            server = _Server(app, config.host, config.port)
            models.on_failure = lambda: setattr(server, "should_exit", True)
            server.run()
    except KeyboardInterrupt:
        _end_process(0)
    except SystemExit as end:  # 0 after SIGTERM; 3 from uvicorn if the address cannot be bound
        _end_process(int(end.code or 0))
    if isinstance(models.failure, EmotionHubError):
        raise models.failure
    return 1 if models.failure or not server.started else 0


class _Server(uvicorn.Server):
    """uvicorn's server with two changes.

    The grace period starts at the signal, and the demo's event streams are ended first: one open page would otherwise
    use up the whole period.
    """

    _signal_time: float | None = None

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(app, host=host, port=port, log_config=LOGGING, access_log=False, server_header=False)
        )
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signal_time = self._signal_time or time.monotonic()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        if (demo := mounted_demo(self._app)) is not None:
            end_event_streams(demo)
        # when explanations use all cores, the event loop runs only some time after the signal
        delay = time.monotonic() - self._signal_time if self._signal_time else 0.0
        remaining = max(0.0, GRACE_PERIOD - delay)
        # declared as int, but passed on to asyncio.wait_for, which takes fractions of a second
        self.config.timeout_graceful_shutdown = remaining  # type: ignore[assignment]
        await super().shutdown(sockets)


def _end_process(status: int) -> NoReturn:
    """Run the exit handlers and exit without waiting for threads.

    An abandoned explanation, or the loading of a model, may still run in its thread. Python would kill that thread when
    it returns from torch's C++ code, which aborts the process ("terminate called without an active exception"), and
    would wait for the demo's thread pool.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the process that reads the log may have exited
            stream.flush()
    os._exit(status)
