"""Publish a data set and load it again; its card."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import DatasetCard, HfApi
from PIL import Image

from emotion_hub.errors import ConfigError, InputError
from emotion_hub.labels import FER2013
from training.publish import main

REPO = "tester/drawn"
TERMS = [
    "--title",
    "Drawn faces",
    "--licence",
    "cc0-1.0",
    "--source",
    "Drawn by a test.",
    "--annotation",
    "By construction.",
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """split/class/file: two pictures of each label, as PNG and JPEG; one is a copy from another split."""
    rng, root = np.random.default_rng(0), tmp_path / "pictures"
    for split in ("train", "validation"):
        for label in FER2013.labels:
            folder = root / split / label
            folder.mkdir(parents=True)
            for suffix in ("png", "jpg"):
                Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(folder / f"a.{suffix}")
    copy = root / "train" / "happy" / "a.png"
    (root / "validation" / "happy" / "b.png").write_bytes(copy.read_bytes())
    return root


def publish(pictures: Path, *more: str):
    return main(["dataset", "--data", str(pictures), "--repo", REPO, *TERMS, *more])


def stored(root: Path, split: str) -> list[tuple[int, bytes]]:
    return sorted((FER2013.index(p.parent.name), p.read_bytes()) for p in (root / split).rglob("a.*")) + [
        (FER2013.index(p.parent.name), p.read_bytes()) for p in (root / split).rglob("b.*")
    ]


LOAD = """
import json, sys, hashlib
from datasets import Image, load_dataset
for streaming in (False, True):
    loaded = load_dataset(sys.argv[1], streaming=streaming)
    out = {}
    for name, table in loaded.items():
        raw = table.cast_column("image", Image(decode=False))
        out[name] = sorted([int(row["label"]), hashlib.sha256(row["image"]["bytes"]).hexdigest()] for row in raw)
        names = table.features["label"].names
    print(json.dumps({"rows": out, "names": names}))
"""


@pytest.mark.slow
def test_a_pushed_data_set_loads_equal_complete_and_streaming(hub, pictures: Path) -> None:
    import hashlib

    done = publish(pictures, "--private")
    assert done.changed
    assert HfApi().dataset_info(REPO).private
    loaded = subprocess.run([sys.executable, "-c", LOAD, REPO], capture_output=True, text=True, check=True)
    whole, streamed = (json.loads(line) for line in loaded.stdout.splitlines() if line.startswith("{"))
    assert whole == streamed
    assert whole["names"] == list(FER2013.labels)
    for split in ("train", "validation"):
        expected = sorted([label, hashlib.sha256(content).hexdigest()] for label, content in stored(pictures, split))
        assert whole["rows"][split] == expected
    assert not publish(pictures).changed


def test_the_card_is_complete_and_has_the_audit(hub, pictures: Path, tmp_path: Path) -> None:
    out = publish(pictures, "--dry-run", str(tmp_path / "out"))
    card = DatasetCard.load(out / "README.md")
    card.validate(repo_type="dataset")
    assert (card.data.license, card.data.pretty_name) == ("cc0-1.0", "Drawn faces")
    assert {s["name"]: s["num_examples"] for s in card.data.to_dict()["dataset_info"]["splits"]} == {
        "train": 14,
        "validation": 15,
    }
    assert "| happy | 2 | 3 |" in card.text
    assert "validation in train: 1" in card.text
    for words in ("Drawn by a test.", "By construction.", "AI Act"):
        assert words in card.text
    assert "{" not in card.text
    assert not hub.seen("/api/datasets", method="POST"), "a dry run uploads nothing"


def test_missing_terms_and_a_nonempty_folder_are_rejected(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="source is empty"):
        publish(pictures, "--source", " ", "--dry-run", str(tmp_path / "out"))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    with pytest.raises(InputError, match="already holds files"):
        publish(pictures, "--dry-run", str(tmp_path / "used"))
    with pytest.raises(ConfigError, match=r"near=2\.0: give a correlation above 0 and at most 1"):
        publish(pictures, "--near", "2", "--dry-run", str(tmp_path / "other"))
