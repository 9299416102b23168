"""The networks that are served, by name: loaded and run once in a thread of their own while the server already answers that it is alive."""

from __future__ import annotations

import asyncio
import copy
import io
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
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

#: Seconds after which a client may ask again while the models load.
LOADING = 5

#: Seconds that closing waits for running batches, at most; their daemon threads end by themselves.
CLOSING = 0.5

#: Larger than what is taken as a ready-made face, so that warming up runs the detector.
WARM = (96, 96)


@dataclass
class ServedModel:
    """One served network: its predictor, the batcher before it, and where it was loaded from."""

    name: str
    predictor: EmotionPredictor
    batcher: Batcher
    source: str | None = None

    @property
    def backend(self) -> str:
        """What runs it, as `EmotionPredictor.backend_name`."""
        return self.predictor.backend_name


class Models:
    """The lanes by name. `start` begins to load, `ready` waits for it."""

    def __init__(
        self,
        given: Mapping[str, EmotionPredictor] | None,
        default: str | None,
        config: ServeConfig,
        metrics: Metrics,
        more_coming: Callable[[], bool],
    ) -> None:
        """Raises InputError for a default that is none of the models and ConfigError for two of one name; nothing is loaded yet."""
        self._config, self._metrics, self._more_coming = config, metrics, more_coming
        self._given = None if given is None else dict(given)
        self._sources = {} if given is not None else _sources(config.models)
        self.names = tuple(self._sources if given is None else given)
        wanted = default or config.default
        self.default = wanted or ("native48" if "native48" in self.names or not self.names else self.names[0])
        if self.default not in self.names:
            raise InputError(f"default={self.default!r} is none of the models {', '.join(self.names) or '(none)'}")
        self.on_failure: Callable[[], None] = lambda: None
        self.failure: Exception | None = None
        self.lanes: dict[str, ServedModel] = {}
        self._loaded: Future[None] | None = None
        self._lock = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether every model is loaded and has run once."""
        return self._loaded is not None and self._loaded.done() and self.failure is None

    def start(self) -> None:
        """Begin to load, unless that has begun."""
        with self._lock:
            if self._loaded is not None:
                return
            self._loaded, self.failure = Future(), None
            self._loaded.set_running_or_notify_cancel()  # a client that gives up waiting cannot cancel it
        threading.Thread(target=self._load, args=(self._loaded,), name="models", daemon=True).start()

    async def ready(self) -> None:
        """Wait until the models are there; raises HTTPException 503 when they could not be loaded."""
        self.start()
        if not self._loaded.done():
            await asyncio.shield(asyncio.wrap_future(self._loaded))
        if self.failure is not None:
            raise self.not_ready()

    def not_ready(self) -> HTTPException:
        """The 503 for whoever asks too early, or in vain."""
        text = (
            "the models are being loaded"
            if self.failure is None
            else "the models could not be loaded; the server's log says why"
        )
        return HTTPException(503, text, {"Retry-After": str(LOADING)})

    def check(self, name: str | None) -> str:
        """The name that is asked for, or the default one, loaded or not; raises HTTPException 404 for another."""
        if (wanted := self.default if name is None else name) not in self.names:
            raise HTTPException(404, f"no model {shown(wanted)}; there are {', '.join(self.names)}")
        return wanted

    def lane(self, name: str | None) -> ServedModel:
        """The lane of that name, or the default one; raises HTTPException 404 for another. Call it when `ready`."""
        return self.lanes[self.check(name)]

    def nudge(self) -> None:
        """Let every batcher look again whether more are coming."""
        for lane in self.lanes.values():
            lane.batcher.nudge()

    def close(self) -> None:
        """Answer what waits and end the threads; `start` begins anew. What still loads is not waited for and given up when it is there."""
        with self._lock:
            self._loaded = None
            lanes, self.lanes = self.lanes, {}
        _close(lanes)
        self._metrics.ready(False)

    def _load(self, loaded: Future[None]) -> None:
        lanes: dict[str, ServedModel] = {}
        try:
            for name in self.names:
                predictor = self._predictor(name)
                predictor.predict(_photo(), whole=True)
                (predictor.detector or default_detector()).detect(Image.new("RGB", WARM))
                lanes[name] = ServedModel(name, predictor, self._batcher(name, predictor), self._sources.get(name))
            with self._lock:
                if self._loaded is loaded:
                    self.lanes, lanes = lanes, {}
                    self._metrics.ready(True)
        except Exception as error:  # whatever it is, /ready must say so and the process must not look healthy
            self.failure = error
            log.error("the models could not be loaded", exc_info=error)
            self.on_failure()
        finally:
            _close(lanes)  # those that nobody took over
            loaded.set_result(None)

    def _predictor(self, name: str) -> EmotionPredictor:
        if self._given is not None:
            return _called(name, self._given[name])
        source = self._sources[name]
        return _load(name, source, self._config.backend or AUTO)

    def _batcher(self, name: str, predictor: EmotionPredictor) -> Batcher:
        count = lambda faces, seconds: self._metrics.batch(name, faces, seconds)  # noqa: E731
        return Batcher(
            predictor.backend,
            self._config.batch,
            self._config.batch_wait,
            more_coming=self._more_coming,
            on_batch=count,
        )


def _close(lanes: Mapping[str, ServedModel]) -> None:
    last = time.monotonic() + CLOSING
    for lane in lanes.values():
        lane.batcher.close(max(0.0, last - time.monotonic()))


def _sources(models: tuple[str, ...]) -> dict[str, str]:
    """{name: source}: a folder is called by its last part, so that no path of this machine is shown to clients."""
    if not models:
        return {name: name for name in embedded_checkpoints()}
    named: dict[str, str] = {}
    for source in models:
        local = source not in embedded_checkpoints() and Path(source).is_dir()
        name = Path(source).resolve().name if local else source
        if name in named:
            raise ConfigError(f"two models are called {name!r}; give each folder another name")
        named[name] = source
    return named


def _photo() -> bytes:
    """A file, so that Pillow has its decoders ready."""
    buffer = io.BytesIO()
    Image.new("RGB", WARM).save(buffer, "PNG")
    return buffer.getvalue()


def _called(name: str, predictor: EmotionPredictor) -> EmotionPredictor:
    """The same predictor under the name clients know it by; its own may be a path of this machine."""
    renamed = copy.copy(predictor)
    renamed.name = name
    return renamed


def _load(name: str, source: str, backend: str) -> EmotionPredictor:
    if source in embedded_checkpoints():
        return embedded_predictor(source, backend)  # shared with the demo in this process
    predictor = EmotionPredictor.from_pretrained(source, backend=backend)
    predictor.name = name
    return predictor
