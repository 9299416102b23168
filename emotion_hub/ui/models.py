"""The models of the running demo: what each picker's text stands for, whether it is ready, and who answers while it is not.

Nothing here waits for the Hub but `get`, which is told how long. Models load one after another in the background; the embedded
checkpoint of the role answers until they are there, and for good where they cannot be had.
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
from emotion_hub.ui.choices import Choice, embedded_default, folder_choices, operators_choices, parse
from emotion_hub.ui.loading import LoadedModel, load

__all__ = ["ChosenModel", "ModelPool", "Status", "shared_pool"]

#: Visitors' models kept in memory at once, loads that may wait, loads given up on that may still run.
KEEP, WAITING, STUCK = 3, 8, 2

#: Seconds a load may take, and for which a failure is remembered.
LIMIT, PAUSE = 120.0, 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """Where a model stands: `model` when it is ready, `problem` when it cannot be had, else `doing` says what is under way."""

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
    """The model that answers, and, where it is not the one that was chosen, a note that names both and the reason."""

    model: LoadedModel
    note: str = ""


class ModelPool:
    """Names to models. Thread safe; the loads run on threads of their own."""

    def __init__(self) -> None:
        """Reads the environment variables."""
        self.operators = {choice.name: choice for choice in operators_choices()}
        self._states: OrderedDict[str, Status] = OrderedDict()
        self._queue: list[Choice] = []
        self._worker: threading.Thread | None = None
        self._stuck: list[threading.Thread] = []
        self._changed = threading.Condition()

    def start(self) -> None:
        """Begin to load what the operator named."""
        for name in self.operators:
            self.request(name)

    def names(self) -> list[str]:
        """What the pickers offer: the operator's models, the embedded ones, the folders opened to visitors."""
        return list(dict.fromkeys([*self.operators, *embedded_checkpoints(), *folder_choices()]))

    def default(self, role: str) -> str:
        """The name of the model that a role starts with: the operator's, else the embedded one."""
        return next((choice.name for choice in self.operators.values() if choice.role == role), embedded_default(role))

    def request(self, name: str) -> Status:
        """Where the model stands now; its load begins if it was not asked for yet, or failed a while ago."""
        name = str(name).strip()
        if name in embedded_checkpoints():
            return self._embedded(name)
        with self._changed:
            known = self._states.get(name)
            if known and not (known.problem and time.monotonic() - known.since > PAUSE):
                self._states.move_to_end(name)
                return known
            try:
                choice = self.operators.get(name) or parse(name)
                if len(self._queue) >= WAITING:
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
        """The model itself, after at most `wait` seconds; raises CheckpointError when it is not ready by then or cannot be had."""
        until, name = time.monotonic() + wait, str(name).strip()
        status = self.request(name)
        with self._changed:
            while status.pending and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
                status = self._states.get(name, status)
        if status.model:
            return status.model
        raise CheckpointError(
            f"{name} cannot be used: {status.problem}"
            if status.problem
            else f"{name} is still loading ({status.doing}); ask again in a moment"
        )

    def serve(self, name: str | None, role: str | None = None) -> ChosenModel:
        """Who answers for a choice now: the model, or the embedded one of the role with a note. On a side of a comparison, models of that side only."""
        name = str(name or self.default(role or "native48")).strip()
        status = self.request(name)
        if status.model and role in (None, status.model.role):
            return ChosenModel(status.model)
        choice = self.operators.get(name)
        embedded = embedded_default(role or (choice and choice.role) or "native48")
        answers = self._embedded(embedded).model
        if status.model:
            size = status.model.preprocess.size
            note = f"{name} looks at {size} pixels and belongs on the other side. {embedded} answers here."
        elif status.pending:
            note = f"{name} is still loading ({status.doing}). {embedded} answers until it is ready."
        else:
            where = f" (named by {choice.variable})" if choice and choice.variable else ""
            note = f"{name}{where} cannot be used: {status.problem}. {embedded} answers instead."
        return ChosenModel(answers, note)

    def _embedded(self, name: str) -> Status:
        with self._changed:
            known = self._states.get(name)
        if known is None:  # twice at the same time does no harm: the predictor is shared
            known = Status(name, load(Choice(name, folder=embedded_checkpoints()[name])))
            with self._changed:
                self._states[name] = known
        return known

    def _work(self) -> None:
        """Load what waits, one after another, each on a thread that is left behind when it takes too long."""
        while True:
            with self._changed:
                if not self._queue:
                    self._worker = None
                    return
                choice = self._queue.pop(0)
                self._stuck = [thread for thread in self._stuck if thread.is_alive()]
                if len(self._stuck) >= STUCK:
                    self._settle(
                        choice,
                        Status(
                            choice.name,
                            problem="the Hub does not answer; earlier downloads still hang",
                            since=time.monotonic(),
                        ),
                    )
                    continue
            thread = threading.Thread(target=self._load, args=(choice,), name=f"model {choice.name}", daemon=True)
            thread.start()
            thread.join(LIMIT)
            if thread.is_alive():
                with self._changed:
                    self._stuck.append(thread)
                    self._settle(
                        choice,
                        Status(
                            choice.name,
                            problem=f"it took longer than {LIMIT:.0f} seconds to load",
                            since=time.monotonic(),
                        ),
                    )

    def _load(self, choice: Choice) -> None:
        mine = threading.current_thread()

        def report(doing: str) -> None:
            with self._changed:
                if mine not in self._stuck:
                    self._settle(choice, Status(choice.name, doing=doing, since=time.monotonic()))

        try:
            model = load(choice, report)
            if choice.role not in (None, model.role):
                raise CheckpointError(f"it looks at {model.preprocess.size} pixels and belongs to {model.role}")
            status = Status(choice.name, model, since=time.monotonic())
        except EmotionHubError as error:
            status = Status(choice.name, problem=str(error).rstrip("."), since=time.monotonic())
        except (
            Exception
        ) as error:  # a visitor's file must not end the thread that loads for all; the log has the whole of it
            logger.exception("loading %s failed", choice.name)
            status = Status(
                choice.name, problem=f"it could not be loaded ({type(error).__name__})", since=time.monotonic()
            )
        with self._changed:
            if mine not in self._stuck:  # what was given up on is not used when it comes after all
                self._settle(choice, status)

    def _settle(self, choice: Choice, status: Status) -> None:
        """Note where a model stands; the lock is held. Beyond KEEP, the visitors' model that was asked for longest ago is let go."""
        self._states[choice.name] = status
        if status.model:
            visitors = [
                n
                for n, s in self._states.items()
                if s.model and n not in self.operators and n not in embedded_checkpoints()
            ]
            for name in visitors[: max(0, len(visitors) - KEEP)]:
                del self._states[name]
        failed = [n for n, s in self._states.items() if s.problem and n not in self.operators]
        for name in failed[: max(0, len(failed) - 100)]:
            del self._states[name]
        self._changed.notify_all()


@lru_cache(maxsize=1)
def shared_pool() -> ModelPool:
    """The pool of this process."""
    return ModelPool()
