"""Write the folder of a data set repository: parquet files and card."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError
from emotion_hub.labels import FER2013, LabelSet
from training.data.audit_text import render
from training.data.decode import label_ids
from training.data.faces import load_splits
from training.data.quality import quality_report
from training.data.selection import near_threshold
from training.data.sources import Source, open_splits

__all__ = ["Terms", "write_dataset_folder"]

#: The Hub's size classes, by the largest number of rows.
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


@dataclass(frozen=True)
class Terms:
    """Facts on a data set that only its owner knows: name, licence (an identifier of the Hub), source, annotation."""

    title: str
    licence: str
    source: str
    annotation: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value.strip():
                raise InputError(f"{name} is empty; a card must state whether and how the data may be used")


def write_dataset_folder(
    data: str | Path, out: Path, terms: Terms, *, labels: LabelSet = FER2013, near: float | None = None
) -> dict[str, int]:
    """Write data/SPLIT-00000-of-00001.parquet for every split, and README.md; returns {split: rows}.

    Images keep their bytes; labels become a ClassLabel in the order of `labels`; other columns stay. Rows with
    other labels are left out and counted on the card. With `near`, a correlation, near copies are counted too,
    which takes minutes (None and 0: off). Raises InputError for a folder that is not empty, ConfigError for a
    `near` that is no correlation, and what `open_splits` raises.
    """
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature

    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} already holds files; give an empty or a new folder")
    report = quality_report(load_splits(data, labels), near_threshold(near))
    tables: dict[str, Any] = {}
    (out / "data").mkdir(parents=True, exist_ok=True)
    for name, source in open_splits(data).items():
        ids, _ = label_ids(source, labels)
        rows = np.flatnonzero(np.asarray(ids) >= 0)
        columns = {key: [values[i] for i in rows] for key, values in source.columns.items()}
        content = {
            "image": [{"bytes": _encoded(source, int(i)), "path": None} for i in rows],
            "label": [int(ids[i]) for i in rows],
            **columns,
        }
        plain = Dataset.from_dict({**content, "image": [None] * len(rows)}).features
        features = Features({**plain, "image": ImageFeature(), "label": ClassLabel(names=list(labels.labels))})
        tables[name] = Dataset.from_dict(content, features=features)
        tables[name].to_parquet(str(out / "data" / f"{name}-00000-of-00001.parquet"))
    (out / "README.md").write_text(_card(terms, labels, tables, report, out))
    return {name: len(table) for name, table in tables.items()}


def _encoded(source: Source, i: int) -> bytes:
    """The bytes of the image file; pixels without a file are encoded as PNG."""
    content = source.read(i)
    if isinstance(content, Image.Image):
        buffer = io.BytesIO()
        content.save(buffer, "PNG")
        return buffer.getvalue()
    return content


def _card(terms: Terms, labels: LabelSet, tables: Mapping[str, Any], report: Mapping[str, Any], out: Path) -> str:
    import yaml
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    total = sum(len(table) for table in tables.values())
    size = next((name for limit, name in _SIZES.items() if total < limit), "1M<n<10M")
    files = {name: f"data/{name}-*.parquet" for name in tables}
    first = next(iter(tables.values()))
    splits = SplitDict(
        {
            name: SplitInfo(name, sum(f.stat().st_size for f in out.glob(files[name])), len(table))
            for name, table in tables.items()
        }
    )
    card = DatasetCardData(
        license=terms.licence,
        pretty_name=terms.title,
        task_categories=["image-classification"],
        size_categories=[size],
        tags=["facial-expression-recognition"],
        configs=[
            {"config_name": "default", "data_files": [{"split": name, "path": path} for name, path in files.items()]}
        ],
    )
    bytes_stored = sum(f.stat().st_size for f in (out / "data").iterdir())
    info = DatasetInfo(features=first.features, splits=splits, download_size=bytes_stored, dataset_size=bytes_stored)
    DatasetInfosDict({"default": info}).to_dataset_card_data(card)
    head = yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True)
    counts = "\n".join(
        f"| {label} | "
        + " | ".join(f"{int((np.asarray(table['label']) == i).sum()):,}" for table in tables.values())
        + " |"
        for i, label in enumerate(labels.labels)
    )
    names = ", ".join(f"{i} {label}" for i, label in enumerate(labels.labels))
    totals = " | ".join(f"{len(table):,}" for table in tables.values())
    return f"""---
{head}---

# {terms.title}

Faces labelled with one of {len(labels)} expressions: {names}.

| label | {" | ".join(tables)} |
|---|{"---|" * len(tables)}
{counts}
| all | {totals} |

## Source
{terms.source}

## Annotation
{terms.annotation}

Labels name the expression that annotators saw in a picture, not what the person felt. Inferring emotions of people at
work or in education is prohibited in the EU (AI Act, Article 5(1)(f)).

## Audit
Written by `python -m training.audit`: copies within and across splits, conflicting labels, flat and unreadable images.

```
{render(report)}
```
"""
