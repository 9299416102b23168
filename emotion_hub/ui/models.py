"""Model pool of the demo: background loading, states and fallbacks.

Models are loaded one after another in the background. Until a model is ready, and where it cannot be loaded, the
embedded checkpoint of its role is used instead. Only `get` waits, for a given time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import CheckpointError, EmotionHubError
from emotion_hub.ui.choices import Choice, embedded_default, folder_choices, operator_choices, visitor_choice
from emotion_hub.ui.loading import LoadedModel, load

__all__ = ["ChosenModel", "ModelPool", "Status", "shared_pool"]

#: Maximum numbers of visitors' models in memory, of queued loads, and of abandoned loads that may still run.
MAX_MODELS, MAX_QUEUE, MAX_ABANDONED = 3, 8, 2

#: Seconds that a load may take, and seconds after which a failed load may be tried again.
LOAD_TIMEOUT, RETRY_AFTER = 120.0, 60.0

#: Maximum number of failures that are remembered.
MAX_FAILURES = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """The state of a model: `model` when it is ready, `problem` when it cannot be loaded, else `doing` for the step."""

    name: str
    model: LoadedModel | None = None
    problem: str = ""
    doing: str = ""
    since: float = 0.0

    @property
    def pending(self) -> bool:
        """Whether it is still loading."""
        return self.model is None and not self.problem


@dataclass(frozen=True)
class ChosenModel:
    """The model to use, and a note with both names and the reason where it replaces the requested one."""

    model: LoadedModel
    note: str = ""


class ModelPool:
    """Models by name. Threads may share it; models are loaded on its own threads."""

    def __init__(self) -> None:
        """Reads the environment variables."""
        self.operators = {choice.name: choice for choice in operator_choices()}
        self._states: OrderedDict[str, Status] = OrderedDict()
        self._queue: list[Choice] = []
        self._worker: threading.Thread | None = None
        self._abandoned: list[threading.Thread] = []
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start to load the operator's models."""
        for name in self.operators:
            self.request(name)

    def names(self) -> list[str]:
        """The names that the pickers offer: the operator's models, the embedded ones, the folders open to visitors."""
        return list(dict.fromkeys([*self.operators, *embedded_checkpoints(), *folder_choices()]))

    def default(self, role: str) -> str:
        """The name of a role's default model: the operator's, else the embedded one."""
        return next((choice.name for choice in self.operators.values() if choice.role == role), embedded_default(role))

    def request(self, name: str) -> Status:
        """The state of the model. Its load is queued at the first request, and again some time after a failure."""
        name = str(name).strip()
        if name in embedded_checkpoints():
            return Status(name, self._embedded(name))
        with self._changed:
            known = self._states.get(name)
            if known and not (known.problem and time.monotonic() - known.since > RETRY_AFTER):
                self._states.move_to_end(name)
                return known
            try:
                choice = self.operators.get(name) or visitor_choice(name)
                if len(self._queue) >= MAX_QUEUE:
                    raise CheckpointError(
                        f"{len(self._queue)} other models wait to be loaded; try {choice.name} again in a minute"
                    )
            except EmotionHubError as error:
                return Status(name, problem=str(error))
            status = self._states[name] = Status(name, doing="waiting for its turn", since=time.monotonic())
            self._queue.append(choice)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="models", daemon=True)
                self._worker.start()
            return status

    def get(self, name: str, wait: float = 0.0) -> LoadedModel:
        """The model, after at most `wait` seconds. Raises CheckpointError when it is not ready or cannot be loaded."""
        until, name = time.monotonic() + wait, str(name).strip()
        status = self.request(name)
        with self._changed:
            while status.pending and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
                status = self._states.get(name, status)
        if status.model:
            return status.model
        if status.problem:
            raise CheckpointError(f"{name} cannot be used: {status.problem}")
        raise CheckpointError(f"{name} is still loading ({status.doing}); try again in a moment")

    def choose(self, name: str | None, role: str | None = None) -> ChosenModel:
        """The model of that name, or the embedded one of the role with a note; without a name, the role's default.

        On a side of a comparison, only models of that side are used.
        """
        name = str(name or self.default(role or "native48")).strip()
        status = self.request(name)
        if status.model and role in (None, status.model.role):
            return ChosenModel(status.model)
        choice = self.operators.get(name)
        embedded = embedded_default(role or (choice and choice.role) or "native48")
        if status.model:
            size = status.model.preprocess.size
            note = f"The input of {name} is {size} pixels, so it belongs on the other side. {embedded} is used here."
        elif status.pending:
            note = f"{name} is still loading ({status.doing}). {embedded} is used until it is ready."
        else:
            where = f" (named by {choice.variable})" if choice and choice.variable else ""
            note = f"{name}{where} cannot be used: {status.problem}. {embedded} is used instead."
        return ChosenModel(self._embedded(embedded), note)

    def _embedded(self, name: str) -> LoadedModel:
        with self._changed:
            known = self._states.get(name)
        if known is not None and known.model is not None:
            return known.model
        # two threads may do this at the same time: the predictor is shared
        model = load(Choice(name, folder=embedded_checkpoints()[name]))
        with self._changed:
            self._states[name] = Status(name, model)
        return model

    def _work(self) -> None:
        """Load the queued models one after another, each on a thread that is abandoned after a timeout."""
        while True:
            with self._changed:
                if not self._queue:
                    self._worker = None
                    return
                choice = self._queue.pop(0)
                self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
                if len(self._abandoned) >= MAX_ABANDONED:
                    self._set_problem(choice, "the Hub does not answer; earlier downloads still hang")
                    continue
            thread = threading.Thread(target=self._load, args=(choice,), name=f"model {choice.name}", daemon=True)
            thread.start()
            thread.join(LOAD_TIMEOUT)
            if thread.is_alive():
                with self._changed:
                    self._abandoned.append(thread)
                    self._set_problem(choice, f"it took longer than {LOAD_TIMEOUT:.0f} seconds to load")

    def _load(self, choice: Choice) -> None:
        thread = threading.current_thread()

        def report(doing: str) -> None:
            with self._changed:
                if thread not in self._abandoned:
                    self._set(Status(choice.name, doing=doing, since=time.monotonic()))

        try:
            model = load(choice, report)
            if choice.role not in (None, model.role):
                raise CheckpointError(f"its input is {model.preprocess.size} pixels, so it belongs to {model.role}")
            status = Status(choice.name, model, since=time.monotonic())
        except EmotionHubError as error:
            status = Status(choice.name, problem=str(error).rstrip("."), since=time.monotonic())
        except Exception as error:  # a visitor's file must not end the thread; the log has the whole error
            logger.exception("loading %s failed", choice.name)
            problem = f"it could not be loaded ({type(error).__name__})"
            status = Status(choice.name, problem=problem, since=time.monotonic())
        with self._changed:
            if thread not in self._abandoned:  # a load that timed out is not used when it ends later
                self._set(status)

    def _set_problem(self, choice: Choice, problem: str) -> None:
        self._set(Status(choice.name, problem=problem, since=time.monotonic()))

    def _set(self, status: Status) -> None:
        """Store a model's state; the caller holds the lock.

        Evicts the least recently requested visitors' models and the oldest failures beyond their maximum numbers.
        """
        self._states[status.name] = status
        if status.model:
            kept = {*self.operators, *embedded_checkpoints()}
            visitors = [name for name, state in self._states.items() if state.model and name not in kept]
            for name in visitors[: max(0, len(visitors) - MAX_MODELS)]:
                del self._states[name]
        failed = [name for name, state in self._states.items() if state.problem and name not in self.operators]
        for name in failed[: max(0, len(failed) - MAX_FAILURES)]:
            del self._states[name]
        self._changed.notify_all()


@lru_cache(maxsize=1)
def shared_pool() -> ModelPool:
    """The pool of this process."""
    return ModelPool()
