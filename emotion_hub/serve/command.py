"""`python -m emotion_hub serve`: from settings to a running server, and its orderly end."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import uvicorn

from emotion_hub.errors import EmotionHubError
from emotion_hub.serve.app import create_app
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.demo import mount_demo

__all__ = ["KEY_VARIABLE", "config_of", "serve"]

#: The environment variable that holds the API key; an argument shows it to everyone who lists this machine's processes.
KEY_VARIABLE = "EMOTION_HUB_API_KEY"

#: Seconds that the server waits at its end for answers under way, beyond the time limit of one.
GRACE = 5

#: One JSON object a line on standard output, from us and from uvicorn; of others, warnings only.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "emotion_hub.serve.observe.JsonLines"}},
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


def serve(config: ServeConfig, demo: Callable[[], AbstractContextManager[tuple[Any, Mapping[str, Any]]]] | None = None) -> int:
    """Serve until stopped; `demo` opens the page to mount and its launch options, and is closed at the end. The exit status, 0 after an orderly stop.

    Raises what kept the models from being loaded, where that is one of our own errors.
    """
    app = create_app(config=config)
    models = app.state.service.models
    with ExitStack() as stack:
        if demo is not None:
            mount_demo(app, *stack.enter_context(demo()))
        # uvicorn hands the signal on when everything is answered and closed: leaving by SystemExit closes the demo's uploads too
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                log_config=LOGGING,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(config.body_timeout + config.timeout) + GRACE,
            )
        )
        models.on_failure = lambda: setattr(server, "should_exit", True)
        try:
            server.run()
        except KeyboardInterrupt:
            return 0
    if isinstance(models.failure, EmotionHubError):
        raise models.failure
    return 1 if models.failure or not server.started else 0
