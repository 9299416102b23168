"""The audit of a data set: planted faults, and the known faults of FER2013."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pytest
from PIL import Image

from emotion_hub.errors import ConfigError, InputError
from training.audit import main


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def _portrait(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 7), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def faulty(tmp_path):
    """An image folder with one instance of every fault, in split/label/name."""
    files = {
        "train/angry/a.png": _portrait(0),
        "train/angry/a_again.png": _portrait(0),
        "train/sad/a_as_sad.png": _portrait(0).convert("RGB"),
        "train/angry/b.png": _portrait(1),
        "train/sad/b_mirrored.png": _portrait(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "train/happy/c.jpg": _portrait(2),
        "train/happy/flat.png": Image.new("L", (48, 48), 7),
        "train/happy/small.png": _portrait(3, (20, 24)),
        "train/happy/long.png": _portrait(4, (48, 110)),
        "validation/happy/d.png": _portrait(5),
        "test/happy/d.png": _portrait(5),
        "test/angry/a.png": _portrait(0),
        "test/angry/e.png": _portrait(6),
        "test/sad/b_relit.png": _portrait(1)
        .transform((48, 48), Image.Transform.AFFINE, (1, 0, 2, 0, 1, 0))
        .point(lambda v: v // 2 + 40),
        "test/contempt/f.png": _portrait(8),
    }
    for name, image in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / name)
    (tmp_path / "test" / "sad" / "broken.png").write_bytes((tmp_path / "test/angry/e.png").read_bytes()[:200])
    (tmp_path / "train" / "sad" / "text.png").write_text("no picture")
    return tmp_path


def test_audit_counts_every_planted_fault_and_skips_unreadable_images(faulty, capsys):
    report = main(["--data", str(faulty)])
    assert report["images"] == {"train": 9, "validation": 1, "test": 4}
    exact = report["exact_copies"]
    assert (exact["distinct"], exact["groups"], exact["surplus"], exact["conflicting_groups"]) == (10, 2, 4, 1)
    assert exact["shared"] == {"validation in train": 0, "test in train": 1, "test in validation": 1}
    assert [entry.rsplit(": ")[1] for entry in exact["conflicts"][0]] == ["angry", "angry", "sad", "angry"]
    near = report["near_copies"]
    assert near["across"]["test in train"] == {"images": 2, "beyond_exact": 1}
    assert near["across"]["test in validation"] == {"images": 1, "beyond_exact": 0}
    assert near["inside_train"] == {"pairs": 1, "images": 2, "pairs_with_conflicting_labels": 1}
    assert (near["threshold"], "correlation" in near["measure"]) == (0.92, True)
    assert report["flat"]["count"] == 1
    assert report["flat"]["where"][0].endswith("flat.png")
    assert [len(entries) for entries in report["unreadable"].values()] == [1, 0, 1]
    assert report["labels_left_out"]["test"] == {"contempt": 1}
    odd = {name: found["count"] for name, found in report["stored"]["odd"].items()}
    assert odd == {"a side below 32": 1, "longer than 2:1": 1, "not the usual size": 2, "not gray": 1}
    assert report["stored"]["formats"] == {
        "PNG": {"count": 13, "share": 13 / 14},
        "JPEG": {"count": 1, "share": 1 / 14},
    }
    assert report["stored"]["modes"]["RGB"]["count"] == 1
    assert (
        report["classes"]["train"]["counts"] | {"angry": 3, "happy": 4, "sad": 2}
        == report["classes"]["train"]["counts"]
    )
    assert report["classes"]["all"]["imbalance_ratio"] is None
    text = capsys.readouterr().out
    for words in (
        "4 surplus in 2 groups, 1 groups with conflicting labels",
        "test in train: 1",
        "broken.png",
        "text.png",
        "an empty class",
        "{'contempt': 1}",
    ):
        assert words in text


def test_the_report_is_written_to_a_file_or_standard_output(faulty, tmp_path, capsys):
    report = main(["--data", str(faulty), "--near", "0", "--json", str(tmp_path / "report.json")])
    assert report["near_copies"] is None
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert "not searched" in capsys.readouterr().out
    main(["--data", str(faulty), "--near", "0", "--json", "-"])
    assert json.loads(capsys.readouterr().out) == report


def test_an_invalid_near_copy_threshold_is_rejected(tmp_path):
    with pytest.raises(ConfigError, match=r"near=92\.0: give a correlation above 0 and at most 1"):
        main(["--data", str(tmp_path), "--near", "92"])


def test_the_threshold_decides_which_images_are_near_copies(faulty):
    assert main(["--data", str(faulty), "--near", "0.9999999"])["near_copies"]["across"]["test in train"]["images"] == 1


def test_data_without_a_readable_image_is_an_error(tmp_path):
    (tmp_path / "train" / "sad").mkdir(parents=True)
    (tmp_path / "train" / "sad" / "x.png").write_text("no picture")
    with pytest.raises(InputError, match=r"no image of .* can be read\. The first fault: .*x\.png"):
        main(["--data", str(tmp_path)])


@pytest.mark.slow
def test_the_known_faults_of_fer2013(shared_data, monkeypatch):
    monkeypatch.undo()  # its table is large: use the cache of the machine
    report = main(["--data", str(shared_data / "fer2013"), "--near", "0"])
    exact = report["exact_copies"]
    assert (exact["distinct"], exact["surplus"], exact["groups"], exact["conflicting_groups"]) == (
        34_034,
        1_853,
        1_516,
        57,
    )
    assert exact["shared"] == {"test in train": 288, "validation in train": 280, "test in validation": 44}
    assert report["flat"]["count"] == 12
    assert report["images"] == {"train": 28_709, "validation": 3_589, "test": 3_589}
    assert not any(report["unreadable"].values())
    assert {name: list(found) for name, found in report["stored"].items() if name != "odd"} == {
        "formats": ["PNG"],
        "modes": ["L"],
        "sizes": ["48x48"],
    }
    assert round(report["classes"]["train"]["imbalance_ratio"], 2) == 16.55
