"""The registry of explanation methods: how each is called, what it needs, and which options it takes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from emotion_hub.errors import InputError, missing_extra
from emotion_hub.explainers.base import Relevance

__all__ = ["METHODS", "METRICS", "Method", "check_method", "check_metrics"]


@dataclass(frozen=True)
class Method:
    """A way to explain: its title, the module and function that compute it, the package they use and the extra that installs it.

    `torch` says what the method wants of the network: "needed" for its gradients or layers, "better" where it is faster with them, "unused" where it
    only runs the network.
    """

    title: str
    home: str
    package: str | None
    extra: str
    torch: str
    summary: str

    @property
    def needs_torch(self) -> bool:
        """Whether it explains networks on the torch backend alone."""
        return self.torch == "needed"

    def load(self) -> None:
        """Import the method's package, which takes seconds the first time; raises MissingDependencyError where it is not installed.

        On a stack of its own: shap keeps the errors of optional imports that failed, and with their traceback every frame below, a face in it.
        """
        if self.package is None or sys.modules.get(self.package):
            return
        try:
            with ThreadPoolExecutor(1) as apart:
                apart.submit(import_module, self.package).result()
        except ImportError as error:
            raise missing_extra(self.title, self.extra, error) from error

    @property
    def run(self) -> Callable[..., Relevance]:
        """The function itself; its module is imported now, since most need torch, which takes seconds. Raises MissingDependencyError without torch."""
        module, _, name = self.home.partition(":")
        try:
            return getattr(import_module(f"emotion_hub.explainers.{module}"), name)
        except ModuleNotFoundError as error:
            raise missing_extra(self.title, self.extra, error) from error

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword options."""
        return tuple(
            p.name for p in inspect.signature(self.run).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY
        )


METHODS: dict[str, Method] = {
    "gradcam": Method(
        "Grad-CAM", "cam:gradcam", "pytorch_grad_cam", "cam", "needed", "where the last convolutions answered the class"
    ),
    "gradcam++": Method(
        "Grad-CAM++", "cam:gradcam_plusplus", "pytorch_grad_cam", "cam", "needed", "the same, small regions kept apart"
    ),
    "lime": Method(
        "LIME", "lime:lime", "lime.lime_image", "explain", "unused", "patches whose blurring changes the probability"
    ),
    "shap": Method(
        "SHAP",
        "shap:shap",
        "shap",
        "explain",
        "better",
        "each pixel's part of the logit, against average neutral faces",
    ),
    "rollout": Method(
        "Attention rollout",
        "rollout:rollout",
        None,
        "torch",
        "needed",
        "what a vision transformer's attention let through",
    ),
}

#: What is measured of a map: nothing; what costs a few passes of the network; everything, which runs the method five more times.
METRICS = ("none", "fast", "full")


def check_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of this name, once its options are known to exist; raises InputError otherwise."""
    if name not in METHODS:
        raise InputError(f"no method {name!r}; choose from {', '.join(METHODS)}")
    if unknown := sorted(set(options) - set(METHODS[name].options)):
        takes = ", ".join(METHODS[name].options) or "none"
        raise InputError(f"{METHODS[name].title} has no option {', '.join(map(repr, unknown))}; it takes {takes}")
    return METHODS[name]


def check_metrics(metrics: str) -> None:
    """Raises InputError for a value that is not in METRICS."""
    if metrics not in METRICS:
        raise InputError(f"metrics={metrics!r}; choose from {', '.join(METRICS)}")
