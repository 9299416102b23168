"""Registry of explanation methods: functions, requirements, options.

A new method is one entry of METHODS; a new class activation map of `grad-cam` is one line with `_cam`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from emotion_hub.errors import InputError, missing_extra
from emotion_hub.explainers.base import Relevance
from emotion_hub.lazy import load_attribute

if TYPE_CHECKING:
    from torch import nn

__all__ = ["METHODS", "METRICS", "Method", "Option", "check_method", "check_metrics", "public_options"]


@dataclass(frozen=True)
class Option:
    """A keyword option of a method: its default, and a summary for help texts.

    Public options appear in the command line, the HTTP API and the demo. They have one name and one range for all
    methods, `low` to `high`, both included. The other options exist in Python only.
    """

    default: Any
    summary: str
    public: bool = False
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Method:
    """An explanation method: its title, the function that computes it, and the extra that installs what it needs.

    - `home`: "module:function" in `emotion_hub.explainers`. The function takes (subject, progress), the keywords of
      `fixed`, and the options.
    - `package`: the module that `load` imports; None where the extra's own modules are enough.
    - `torch`: "needed" for methods that use gradients or layers, "better" for those that are faster with them,
      "unused" for those that only run the network.
    - `summary`: what the map shows, for visitors of the demo.
    - `without_torch`: {option: value} with which a method that is "better" on torch only runs the network.
    - `quick`: whether it takes only a few passes of the network, so that interfaces compute it first.
    - `applies`: "module:function" of a predicate on the network; None for methods that explain every network.
    """

    title: str
    home: str
    package: str | None
    extra: str
    torch: str
    summary: str
    options: Mapping[str, Option] = field(default_factory=dict)
    quick: bool = False
    applies: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    without_torch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_torch(self) -> bool:
        """Whether it explains only networks on the torch backend."""
        return self.torch == "needed"

    def only_runs_network(self, options: Mapping[str, Any]) -> bool:
        """Whether it uses neither gradients nor layers with these options, so that every backend is alike."""
        return self.torch == "unused" or any(options.get(name) == value for name, value in self.without_torch.items())

    @property
    def public_options(self) -> tuple[str, ...]:
        """The names of the options that every interface offers."""
        return tuple(name for name, option in self.options.items() if option.public)

    def load(self) -> None:
        """Import the method's package, which takes seconds the first time.

        The import runs in a thread of its own. shap keeps the exceptions of failed optional imports; through their
        tracebacks it would keep every calling frame, and so the user's image, in memory. Raises
        MissingDependencyError when the package is not installed.
        """
        if self.package is None or sys.modules.get(self.package):
            return
        try:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(import_module, self.package).result()
        except ImportError as error:
            raise missing_extra(self.title, self.extra, error) from error

    @property
    def run(self) -> Callable[..., Relevance]:
        """The function with the keywords of `fixed` set. Its module is imported here.

        Raises MissingDependencyError when that needs torch and torch is not installed.
        """
        return partial(self._import(self.home), **self.fixed)

    def applies_to(self, network: nn.Module) -> bool:
        """Whether the method can explain this network."""
        return self.applies is None or self._import(self.applies)(network)

    def _import(self, home: str) -> Callable[..., Any]:
        try:
            return load_attribute("emotion_hub.explainers", home)
        except ModuleNotFoundError as error:
            raise missing_extra(self.title, self.extra, error) from error


_SEED = Option(0, "seed of the random draws", public=True, low=0, high=2**32 - 1)


def _cam(title: str, variant: str, summary: str) -> Method:
    """A class activation map; `variant` is the name of a class of `pytorch_grad_cam`."""
    options = {"layer": Option(None, "name of the module whose maps are used; default: the model's target layer")}
    home, package = "cam:class_activation_map", "pytorch_grad_cam"
    return Method(title, home, package, "cam", "needed", summary, options, quick=True, fixed={"variant": variant})


METHODS: dict[str, Method] = {
    "gradcam": _cam("Grad-CAM", "GradCAM", "where the last convolutional layers respond to the class"),
    "gradcam++": _cam("Grad-CAM++", "GradCAMPlusPlus", "as Grad-CAM, with several small regions better separated"),
    "lime": Method(
        "LIME",
        "lime:lime",
        "lime.lime_image",
        "explain",
        "unused",
        "patches that raise the probability of the class when they are shown, not blurred",
        {
            "samples": Option(1000, "blurred versions of the face that LIME tries", public=True, low=10, high=5000),
            "segments": Option(50, "approximate number of superpixels"),
            "seed": _SEED,
        },
    ),
    "shap": Method(
        "SHAP",
        "shap:shap",
        "shap",
        "explain",
        "better",
        "how much each pixel adds to the class's score, compared with average neutral faces",
        {
            "explainer": Option("auto", "auto, deep, gradient or partition"),
            "background": Option(16, "number of average neutral faces that deep and gradient compare with"),
            "samples": Option(None, "draws of gradient (default 200) or network evaluations of partition (500)"),
            "seed": _SEED,
        },
        without_torch={"explainer": "partition"},
    ),
    "rollout": Method(
        "Attention rollout",
        "rollout:rollout",
        None,
        "torch",
        "needed",
        "which patches the vision transformer's attention passes on; the same for every class",
        quick=True,
        applies="target_layers:is_transformer",
    ),
}

#: Which metrics of a map are computed: "none", "map" (those of the map alone: regions and sparseness), "fast" (also a
#: few dozen passes of the network), or "full", which also runs the method five more times.
METRICS = ("none", "map", "fast", "full")


def public_options() -> dict[str, Option]:
    """{name: option} of the options that every interface offers, as the first method that has each one declares it."""
    options: dict[str, Option] = {}
    for method in METHODS.values():
        for name in method.public_options:
            options.setdefault(name, method.options[name])
    return options


def check_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of this name. Raises InputError for an unknown name, and for options that the method does not have."""
    if name not in METHODS:
        raise InputError(f"no method {name!r}; choose from {', '.join(METHODS)}")
    if unknown := sorted(set(options) - set(METHODS[name].options)):
        known = ", ".join(METHODS[name].options) or "none"
        raise InputError(f"{METHODS[name].title} has no option {', '.join(map(repr, unknown))}; its options: {known}")
    return METHODS[name]


def check_metrics(metrics: str) -> None:
    """Raise InputError for a value that is not in METRICS."""
    if metrics not in METRICS:
        raise InputError(f"metrics={metrics!r}; choose from {', '.join(METRICS)}")
