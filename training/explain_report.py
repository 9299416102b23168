"""All explanation methods on a balanced probe set, as one page of aggregates: `python -m training.explain_report --data D`.

Measures every map of every face, holds them against random maps and against the parts of the face that each expression is expected to be read from,
and names the faces worth looking at by their row alone. Writes `scores.json` and `index.html`; neither holds an image of the data.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
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
from training.data.sources import canonical_split
from training.evaluation.latency import machine
from training.explanations.findings import findings, mean_maps
from training.explanations.page import render_page
from training.explanations.sentences import plain_words
from training.explanations.study import baseline, choose_probe, measure
from training.fit.run_folder import write_atomically

__all__ = ["Store", "explain_probe", "main"]

#: Of scores.json and of what is kept in the work folder; another number asks for a fresh one.
SCHEMA = 1

DEFAULT_METHODS = ("gradcam", "gradcam++", "lime", "shap")

#: Methods whose full metrics, five more runs, takes minutes a face on a CPU.
SLOW = ("lime", "shap")

PACKAGES = ("torch", "shap", "lime", "grad-cam", "numpy", "scikit-image")

Maps = dict[tuple[str, str, int], np.ndarray]


class Store:
    """Finished figures and maps in a folder, one file each under a digest of all that decides them; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.computed, self.found = folder, 0, 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(
        self, key: Mapping[str, Any], compute: Callable[[], tuple[dict[str, Any], np.ndarray]]
    ) -> tuple[dict[str, Any], np.ndarray]:
        """What `compute` gave for this key, now or in an earlier run."""
        text = json.dumps({"schema": SCHEMA, **key}, sort_keys=True)
        path = None if self.folder is None else self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
        if path is not None and path.is_file():
            with np.load(path) as saved:
                self.found += 1
                return json.loads(str(saved["row"])), saved["cells"]
        row, cells = compute()
        self.computed += 1
        if path is not None:
            write_atomically(
                path, lambda part: _save(part, row=np.array(json.dumps(row)), cells=cells, key=np.array(text))
            )
        return row, cells


def _save(part: str, **arrays: np.ndarray) -> None:
    with open(part, "wb") as file:  # np.savez would add an ending to the name
        np.savez(file, **arrays)


def explain_probe(
    split: FaceSplit,
    probe: np.ndarray,
    predictors: Mapping[str, EmotionPredictor],
    methods: Sequence[str],
    settings: Mapping[str, Any],
    store: Store,
) -> tuple[list[dict[str, Any]], Maps]:
    """One row of figures for each model, method and face, and their maps on the grid; each is computed once in a store's life.

    `settings` has "seed", "samples" of LIME, "full" and "target"; a method that a network cannot be explained by is left out there.
    """
    rows: list[dict[str, Any]] = []
    maps: Maps = {}
    plan = {model: [m for m in methods if m in list_methods(predictor)] for model, predictor in predictors.items()}
    named = split.columns.get("source_row")
    with tqdm(total=len(probe) * sum(1 + len(able) for able in plan.values()), desc="explain", disable=None) as bar:
        for model, predictor in predictors.items():
            weights = file_hash(resolve_file(predictor.name, WEIGHTS_FILE))
            for position in map(int, probe):
                face, label = split.faces[position], split.label_set.labels[split.labels[position]]
                key = {"weights": weights, "face": split.hashes[position], "target": settings["target"], "label": label}
                said, _ = store.get(key, partial(_said, predictor, face, label, settings["target"] == "true"))
                bar.update()
                for method in plan[model]:
                    metrics, options = _asked(method, settings)
                    whole = {**key, "target": said["target"], "method": method, "metrics": metrics, **options}
                    figures, cells = store.get(
                        whole, partial(measure, predictor, face, method, said["target"], metrics, **options)
                    )
                    row = int(named[position]) if named is not None else position
                    rows.append({"model": model, "method": method, "position": position, "row": row, **said, **figures})
                    maps[model, method, position] = cells
                    bar.update()
    return rows, maps


def _said(
    predictor: EmotionPredictor, face: Image.Image, label: str, explain_label: bool
) -> tuple[dict[str, Any], np.ndarray]:
    return baseline(predictor, face, label, explain_label=explain_label), np.zeros(0)  # it has no map to keep


def _asked(method: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Scoring and options of a method: `samples` is LIME's budget, the seed goes to all that draw."""
    options = {"seed": settings["seed"]} if "seed" in METHODS[method].options else {}
    options |= {"samples": settings["samples"]} if method == "lime" else {}
    return "full" if settings["full"] or method not in SLOW else "fast", options


def _predictors(models: Sequence[str]) -> dict[str, EmotionPredictor]:
    """By the last part of their names, which is what the page shows; raises InputError for two of one name or of different labels."""
    found: dict[str, EmotionPredictor] = {}
    for model in models or list(embedded_checkpoints()):
        name = Path(model).name
        if name in found:
            raise InputError(f"two models are called {name!r}; name each once, or rename a folder")
        found[name] = predictor_of(model).with_backend("torch")
    if len({predictor.labels.labels for predictor in found.values()}) > 1:
        raise InputError(f"{', '.join(found)} have different labels; run the report for each alone")
    return found


def _rounded(value: Any) -> Any:
    """JSON types with floats of six digits."""
    if isinstance(value, Mapping):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _json(report: Mapping[str, Any]) -> str:
    """JSON with one line for each of its many rows."""
    head = json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=1, allow_nan=False)
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in report["rows"])
    return f'{head.removesuffix("}").rstrip()},\n "rows": [\n  {rows}\n ]\n}}\n'


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write both files, and return what scores.json holds."""
    parser = argparse.ArgumentParser(
        prog="python -m training.explain_report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        required=True,
        help="what training.audit reads: a Hub id, a parquet or image folder, fer2013.csv, manifests",
    )
    parser.add_argument(
        "--split", default="validation", help="the split the faces are drawn from (default: validation)"
    )
    parser.add_argument("--per-class", type=int, default=8, help="faces of each class (default: 8)")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="an embedded name, a folder or a Hub id; again for another (default: all embedded)",
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        help=f"again for another, or all (default: {', '.join(DEFAULT_METHODS)})",
    )
    parser.add_argument(
        "--target",
        choices=("predicted", "true"),
        default="predicted",
        help="explain what the network said, or the face's label",
    )
    parser.add_argument(
        "--samples", type=int, default=500, help="LIME's runs of the network for one face (default: 500)"
    )
    parser.add_argument(
        "--full", action="store_true", help="every score for LIME and SHAP too: six runs of them a face instead of one"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw, LIME, SHAP and the intervals (default: 0)")
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that keeps every finished face for the next run; an explainer that changed needs a fresh one",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("training/studies/explain"),
        help="folder of the report (default: training/studies/explain)",
    )
    args = parser.parse_args(argv)

    predictors = _predictors(args.model)
    first = next(iter(predictors.values()))
    methods = list(
        dict.fromkeys(
            m for name in args.method or DEFAULT_METHODS for p in predictors.values() for m in methods_for([name], p)
        )
    )
    splits, name = load_splits(args.data, first.labels), canonical_split(args.split)
    if name not in splits:
        raise InputError(f"no split {args.split!r} in {args.data}; it has {', '.join(splits)}")
    probe = choose_probe(
        splits[name], [split for other, split in splits.items() if other != name], args.per_class, args.seed
    )
    settings = {"seed": args.seed, "samples": args.samples, "full": args.full, "target": args.target}
    rows, maps = explain_probe(splits[name], probe, predictors, methods, settings, Store(args.work))
    if not rows:
        raise InputError(f"none of {', '.join(methods)} can explain {', '.join(predictors)}; leave --method out")

    found = findings(rows, maps, args.seed)
    report = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"emotion-hub": emotion_hub.__version__, **{package: version(package) for package in PACKAGES}},
        "machine": {key: value for key, value in machine().items() if key in ("processor", "cores", "load")},
        "checkpoints": {
            model: {"sha256": file_hash(resolve_file(p.name, WEIGHTS_FILE)), "size": p.preprocessor.config.size}
            for model, p in predictors.items()
        },
        "arguments": {
            "data": Path(args.data).name,
            "split": name,
            "per_class": args.per_class,
            "methods": methods,
            **settings,
        },
        "labels": list(first.labels.labels),
        "faces": len(probe),
        "row_is": "source_row" if "source_row" in splits[name].columns else "position in the split",
        "summary": plain_words(found),
        "findings": found,
        "rows": [{key: value for key, value in row.items() if key != "position"} for row in rows],
    }
    report = _rounded(report)
    page = render_page(report, mean_maps(rows, maps))
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / "scores.json", lambda part: Path(part).write_text(_json(report), encoding="utf-8"))
    write_atomically(args.out / "index.html", lambda part: Path(part).write_text(page, encoding="utf-8"))
    print("\n".join(report["summary"]))
    print(f"{args.out}: {len(rows)} maps of {len(probe)} faces, page of {len(page.encode()) / 1024:.0f} KiB")
    return report


if __name__ == "__main__":
    main()
