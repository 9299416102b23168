"""Served models: loading and warm-up in a thread, lookup by name.

The server already answers GET /health while the models load.
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from starlette.exceptions import HTTPException

from emotion_hub.backend_names import AUTO
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.detectors import default_detector
from emotion_hub.errors import ConfigError, InputError, shown
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.serve.batching import Batcher
from emotion_hub.serve.config import ServeConfig
from emotion_hub.serve.metrics import Metrics

__all__ = ["Models", "ServedModel"]

log = logging.getLogger(__name__)

#: Retry-After in seconds while the models load.
RETRY_AFTER_LOADING = 5

#: Maximum time in seconds that `close` waits for running batches; their daemon threads end by themselves.
CLOSE_TIMEOUT = 0.5

#: Width and height of the warm-up image: larger than a face crop that skips detection, so that the detector runs too.
WARM_UP_SIZE = (96, 96)


@dataclass
class ServedModel:
    """One served model: its predictor, its batcher, and the name, folder or Hub id that it was loaded from."""

    name: str
    predictor: EmotionPredictor
    batcher: Batcher
    source: str | None = None

    @property
    def backend(self) -> str:
        """The name of its backend, as `EmotionPredictor.backend_name`."""
        return self.predictor.backend_name


class Models:
    """The served models by name. `start` starts to load them, `ready` waits until they are loaded."""

    def __init__(
        self,
        predictors: Mapping[str, EmotionPredictor] | None,
        default: str | None,
        config: ServeConfig,
        metrics: Metrics,
        more_expected: Callable[[], bool],
    ) -> None:
        """Serve `predictors`, or without them the models that `config` names; nothing is loaded yet.

        Raises InputError for a default that is not served and ConfigError for two models with one name.
        """
        self._config, self._metrics, self._more_expected = config, metrics, more_expected
        self._predictors = None if predictors is None else dict(predictors)
        self._sources = _sources(config.models) if predictors is None else {}
        self.names = tuple(self._sources if predictors is None else predictors)
        self.default = default or config.default or self._usual_default()
        if self.default not in self.names:
            names = ", ".join(self.names) or "(none)"
            raise InputError(f"default={self.default!r} is not a served model; choose from {names}")
        self.on_failure: Callable[[], None] = lambda: None
        self.failure: Exception | None = None
        self.loaded: dict[str, ServedModel] = {}
        self._loading: Future[None] | None = None
        self._lock = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether every model is loaded and warmed up."""
        return self._loading is not None and self._loading.done() and self.failure is None

    def start(self) -> None:
        """Start to load the models, unless loading has started."""
        self._start()

    async def ready(self) -> None:
        """Wait until the models are loaded; raises HTTPException 503 if they could not be loaded."""
        loading = self._start()
        if not loading.done():
            await asyncio.shield(asyncio.wrap_future(loading))
        if self.failure is not None:
            raise self.not_ready()

    def not_ready(self) -> HTTPException:
        """The HTTPException 503 for requests while the models load, or after loading failed."""
        text = (
            f"the models are loading; try again in {RETRY_AFTER_LOADING} s"
            if self.failure is None
            else "the models could not be loaded; see the server's log for the reason"
        )
        return HTTPException(503, text, {"Retry-After": str(RETRY_AFTER_LOADING)})

    def resolve_name(self, name: str | None) -> str:
        """`name`, or the default for None, loaded or not; raises HTTPException 404 for a model that is not served."""
        resolved = self.default if name is None else name
        if resolved not in self.names:
            raise HTTPException(404, f"no model {shown(resolved)}; choose from {', '.join(self.names)}")
        return resolved

    def get(self, name: str | None) -> ServedModel:
        """The model of that name, or the default for None; raises HTTPException 404. Call it after `ready`."""
        return self.loaded[self.resolve_name(name)]

    def recheck_batches(self) -> None:
        """Make every batcher check again whether more faces are expected."""
        for model in self.loaded.values():
            model.batcher.recheck()

    def close(self) -> None:
        """Run the submitted batches and end the threads; `start` loads the models again.

        Models that are still loading are not waited for; they are closed when they are loaded.
        """
        with self._lock:
            self._loading = None
            models, self.loaded = self.loaded, {}
        _close(models)
        self._metrics.ready(False)

    def _usual_default(self) -> str:
        return "native48" if "native48" in self.names or not self.names else self.names[0]

    def _start(self) -> Future[None]:
        with self._lock:
            if self._loading is not None:
                return self._loading
            loading: Future[None] = Future()
            loading.set_running_or_notify_cancel()  # so that a client that disconnects cannot cancel it
            self._loading, self.failure = loading, None
        threading.Thread(target=self._load, args=(loading,), name="models", daemon=True).start()
        return loading

    def _load(self, loading: Future[None]) -> None:
        models: dict[str, ServedModel] = {}
        try:
            for name in self.names:
                predictor = self._predictor(name)
                predictor.predict(_warm_up_file(), whole=True)
                (predictor.detector or default_detector()).detect(Image.new("RGB", WARM_UP_SIZE))
                models[name] = ServedModel(name, predictor, self._batcher(name, predictor), self._sources.get(name))
            with self._lock:
                if self._loading is loading:
                    self.loaded, models = models, {}
                    self._metrics.ready(True)
        except Exception as error:  # after any exception /ready must report the failure
            self.failure = error
            log.error("the models could not be loaded", exc_info=error)
            self.on_failure()
        finally:
            _close(models)  # those that `close` was called for while they loaded
            loading.set_result(None)

    def _predictor(self, name: str) -> EmotionPredictor:
        if self._predictors is not None:
            return self._predictors[name].with_name(name)
        return _load_predictor(name, self._sources[name], self._config.backend or AUTO)

    def _batcher(self, name: str, predictor: EmotionPredictor) -> Batcher:
        return Batcher(
            predictor.backend,
            self._config.batch,
            self._config.batch_wait,
            more_expected=self._more_expected,
            on_batch=partial(self._metrics.batch, name),
        )


def _close(models: Mapping[str, ServedModel]) -> None:
    deadline = time.monotonic() + CLOSE_TIMEOUT
    for model in models.values():
        model.batcher.close(max(0.0, deadline - time.monotonic()))


def _sources(models: tuple[str, ...]) -> dict[str, str]:
    """{name: source}. A folder's name is the last part of its path, so that clients do not see local paths."""
    if not models:
        return {name: name for name in embedded_checkpoints()}
    sources: dict[str, str] = {}
    for source in models:
        is_folder = source not in embedded_checkpoints() and Path(source).is_dir()
        name = Path(source).resolve().name if is_folder else source
        if name in sources:
            raise ConfigError(f"two models are named {name!r}; rename one of the folders")
        sources[name] = source
    return sources


def _warm_up_file() -> bytes:
    """A PNG file, so that Pillow imports its decoders."""
    buffer = io.BytesIO()
    Image.new("RGB", WARM_UP_SIZE).save(buffer, "PNG")
    return buffer.getvalue()


def _load_predictor(name: str, source: str, backend: str) -> EmotionPredictor:
    if source in embedded_checkpoints():
        return embedded_predictor(source, backend)  # shared with the demo in this process
    return EmotionPredictor.from_pretrained(source, backend=backend).with_name(name)
