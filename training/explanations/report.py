"""Build and write the explanation report: probe set, figures, page.

scores.json holds every figure, index.html shows aggregates; neither holds an image of the data.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

import emotion_hub
from emotion_hub.checkpoints import WEIGHTS_FILE, embedded_checkpoints, file_hash, resolve_file
from emotion_hub.errors import InputError
from emotion_hub.explainers import METHODS, list_methods, predictor_of
from emotion_hub.explainers.sheet import methods_for
from emotion_hub.predictor import EmotionPredictor
from training.data.faces import FaceSplit, load_splits
from training.data.files import write_atomically
from training.data.sources import canonical_split
from training.evaluation.latency import machine
from training.explanations.findings import findings, mean_maps
from training.explanations.page import render_page
from training.explanations.sentences import plain_words
from training.explanations.store import SCHEMA, Store
from training.explanations.study import baseline, choose_probe, measure

__all__ = ["DEFAULT_METHODS", "Settings", "explain_probe", "write_report"]

DEFAULT_METHODS = ("gradcam", "gradcam++", "lime", "shap")

#: Methods whose full metrics, five more runs, take minutes per face on a CPU.
SLOW = ("lime", "shap")

PACKAGES = ("torch", "shap", "lime", "grad-cam", "numpy", "scikit-image")

Maps = dict[tuple[str, str, int], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """Settings of the measurement.

    `seed` is that of the drawn faces, LIME, SHAP and the intervals; `samples` LIME's number of network runs per face;
    `full` computes every metric for slow methods too; `target` is "predicted" or "true", the class to explain.
    """

    seed: int = 0
    samples: int = 500
    full: bool = False
    target: str = "predicted"

    def of_method(self, method: str) -> tuple[str, dict[str, Any]]:
        """The set of metrics and the options of a method."""
        options = {"seed": self.seed} if "seed" in METHODS[method].options else {}
        if method == "lime":
            options["samples"] = self.samples
        return "full" if self.full or method not in SLOW else "fast", options


def explain_probe(
    split: FaceSplit,
    probe: np.ndarray,
    predictors: Mapping[str, EmotionPredictor],
    methods: Sequence[str],
    settings: Settings,
    store: Store,
) -> tuple[list[dict[str, Any]], Maps]:
    """One row of figures per model, method and face, and their maps on the grid.

    `probe` holds positions in `split`. Results that `store` has are not computed again. A method that does not support
    a network is left out for it.
    """
    rows: list[dict[str, Any]] = []
    maps: Maps = {}
    supported = {name: [m for m in methods if m in list_methods(predictor)] for name, predictor in predictors.items()}
    source_rows = split.columns.get("source_row")
    steps = len(probe) * sum(1 + len(of_model) for of_model in supported.values())
    with tqdm(total=steps, desc="explain", disable=None) as bar:
        for model, predictor in predictors.items():
            weights = file_hash(resolve_file(predictor.name, WEIGHTS_FILE))
            for position in map(int, probe):
                face, label = split.faces[position], split.label_set.labels[split.labels[position]]
                key = {"weights": weights, "face": split.hashes[position], "target": settings.target, "label": label}
                prediction, _ = store.get(key, partial(_baseline, predictor, face, label, settings.target == "true"))
                bar.update()
                for method in supported[model]:
                    metrics, options = settings.of_method(method)
                    target = prediction["target"]
                    figures, cells = store.get(
                        {**key, "target": target, "method": method, "metrics": metrics, **options},
                        partial(measure, predictor, face, method, target, metrics, **options),
                    )
                    row = int(source_rows[position]) if source_rows is not None else position
                    head = {"model": model, "method": method, "position": position, "row": row}
                    rows.append({**head, **prediction, **figures})
                    maps[model, method, position] = cells
                    bar.update()
    return rows, maps


def _baseline(
    predictor: EmotionPredictor, face: Image.Image, label: str, explain_label: bool
) -> tuple[dict[str, Any], np.ndarray]:
    return baseline(predictor, face, label, explain_label=explain_label), np.zeros(0)  # there is no map to store


def load_predictors(models: Sequence[str]) -> dict[str, EmotionPredictor]:
    """{last part of its name: predictor on the torch backend}; the embedded checkpoints for no `models`.

    Raises InputError for two models with the same last part and for models with different labels.
    """
    predictors: dict[str, EmotionPredictor] = {}
    for model in models or list(embedded_checkpoints()):
        name = Path(model).name
        if name in predictors:
            raise InputError(f"two models are called {name!r}; name each once, or rename a folder")
        predictors[name] = predictor_of(model).with_backend("torch")
    if len({predictor.labels.labels for predictor in predictors.values()}) > 1:
        raise InputError(f"{', '.join(predictors)} have different labels; run the report for each alone")
    return predictors


def _rounded(value: Any) -> Any:
    """JSON types with floats of six significant digits."""
    if isinstance(value, Mapping):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _json(report: Mapping[str, Any]) -> str:
    """JSON in which each element of `rows` is one line."""
    head = json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=1, allow_nan=False)
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in report["rows"])
    return f'{head.removesuffix("}").rstrip()},\n "rows": [\n  {rows}\n ]\n}}\n'


def write_report(
    data: str,
    split: str,
    per_class: int,
    out: Path,
    *,
    models: Sequence[str] = (),
    methods: Sequence[str] = (),
    settings: Settings | None = None,
    work: Path | None = None,
) -> dict[str, Any]:
    """Measure, write `out`/scores.json and `out`/index.html, and return the content of scores.json.

    `work` is a folder that stores every finished face for later runs. Raises InputError for models, methods, a split or
    a number of faces per class that the data and the models do not have.
    """
    settings = settings or Settings()
    predictors = load_predictors(models)
    labels = next(iter(predictors.values())).labels
    requested = methods or DEFAULT_METHODS
    chosen = list(dict.fromkeys(m for name in requested for p in predictors.values() for m in methods_for([name], p)))
    splits, name = load_splits(data, labels), canonical_split(split)
    if name not in splits:
        raise InputError(f"no split {split!r} in {data}; it has {', '.join(splits)}")
    others = [faces for other, faces in splits.items() if other != name]
    probe = choose_probe(splits[name], others, per_class, settings.seed)
    rows, maps = explain_probe(splits[name], probe, predictors, chosen, settings, Store(work))
    if not rows:
        raise InputError(f"none of {', '.join(chosen)} can explain {', '.join(predictors)}; leave --method out")
    aggregates = findings(rows, maps, settings.seed)
    report: dict[str, Any] = _rounded(
        {
            "schema": SCHEMA,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "versions": {"emotion-hub": emotion_hub.__version__, **{package: version(package) for package in PACKAGES}},
            "machine": {key: value for key, value in machine().items() if key in ("processor", "cores", "load")},
            "checkpoints": {
                model: {"sha256": file_hash(resolve_file(p.name, WEIGHTS_FILE)), "size": p.preprocessor.config.size}
                for model, p in predictors.items()
            },
            "arguments": {
                "data": Path(data).name,
                "split": name,
                "per_class": per_class,
                "methods": chosen,
                **vars(settings),
            },
            "labels": list(labels.labels),
            "faces": len(probe),
            "row_is": "source_row" if "source_row" in splits[name].columns else "position in the split",
            "summary": plain_words(aggregates),
            "findings": aggregates,
            "rows": [{key: value for key, value in row.items() if key != "position"} for row in rows],
        }
    )
    page = render_page(report, mean_maps(rows, maps))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "scores.json", lambda part: Path(part).write_text(_json(report), encoding="utf-8"))
    write_atomically(out / "index.html", lambda part: Path(part).write_text(page, encoding="utf-8"))
    return report
