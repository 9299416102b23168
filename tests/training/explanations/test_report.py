"""The explanation report: probe set, intervals, verdicts, cache, page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import training.explanations.report
import training.explanations.study
from emotion_hub.errors import InputError
from emotion_hub.explainers.base import GRID
from emotion_hub.explainers.regions import REGIONS, areas, shares
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.preprocess import NATIVE48
from training.data.faces import FaceSplit
from training.explain_report import main
from training.explanations.findings import FEWEST, MIN_FACES, findings, mean_maps, patterns
from training.explanations.markup import drawn, interval, number
from training.explanations.page import render_page
from training.explanations.sentences import plain_words
from training.explanations.store import Store
from training.explanations.study import (
    EXPECTED,
    SCORES,
    bootstrap,
    bootstrap_difference,
    choose_probe,
    edge_shares,
    over_tolerance,
)

CLASSES = len(FER2013)


def _faces(count: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(count)]


def _split(name: str, per_class: int, seed: int) -> FaceSplit:
    faces = _faces(per_class * CLASSES, seed)
    return FaceSplit(
        name, faces, np.arange(len(faces)) % CLASSES, [hashlib.sha1(face.tobytes()).hexdigest() for face in faces]
    )


# the probe set


def test_the_probe_set_is_balanced_and_determined_by_the_seed():
    split = _split("validation", 12, 0)
    probe = choose_probe(split, [], 4, seed=3)
    assert len(set(probe.tolist())) == 4 * CLASSES
    assert np.bincount(split.labels[probe]).tolist() == [4] * CLASSES
    assert np.array_equal(probe, choose_probe(split, [], 4, seed=3))
    assert not np.array_equal(probe, choose_probe(split, [], 4, seed=4))


def test_a_face_with_a_copy_is_never_in_the_probe_set():
    split, train = _split("validation", 4, 0), _split("train", 1, 1)
    split.hashes[0 + CLASSES] = split.hashes[0]  # two faces of class 0 are copies
    train.hashes[0] = split.hashes[1]  # and one of class 1 is in train
    probe = choose_probe(split, [train], 2)
    for seed in range(20):
        probe = choose_probe(split, [train], 2, seed)
        assert not {0, CLASSES, 1} & set(probe.tolist())


def test_a_class_with_too_few_faces_is_an_error():
    split = _split("validation", 3, 0)
    split.hashes[2 + CLASSES] = split.hashes[2]
    with pytest.raises(
        InputError,
        match=rf"'{FER2013.labels[2]}' of validation has 1 "
        r"faces without a copy, 3 per class",
    ):
        choose_probe(split, [], 3)
    with pytest.raises(InputError, match="per_class=0"):
        choose_probe(split, [], 0)


# figures


def test_the_bootstrap_interval_is_of_the_mean():
    values = np.random.default_rng(0).normal(2, 1, 400)
    found = bootstrap([*values, None])
    half = 1.96 * values.std() / np.sqrt(400)
    assert found["n"] == 400
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert bootstrap([*values, None]) == found
    assert bootstrap([0.5] * 3) == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 3}
    assert bootstrap([None]) is None
    # of 0 and 1 a resampled mean is 0, 1/2 or 1, with probabilities 1/4, 1/2 and 1/4
    assert bootstrap([0.0, 1.0]) == {"mean": 0.5, "low": 0.0, "high": 1.0, "n": 2}


def test_the_interval_of_a_difference_is_of_two_independent_groups():
    a, b = np.random.default_rng(0).normal((3, 1), 1, (200, 2)).T
    found = bootstrap_difference(a, b[:100])
    half = 1.96 * np.sqrt(a.var() / 200 + b[:100].var() / 100)
    assert found["mean"] == pytest.approx(a.mean() - b[:100].mean())
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.1)
    assert found["n"] == 100
    assert bootstrap_difference([], b) is None


def test_edge_shares_are_of_the_lowest_rows_and_the_strongest_corner():
    even = np.ones((GRID, GRID), dtype=np.float32)
    assert edge_shares(even) == {"bottom": pytest.approx(6 / 48), "corner": pytest.approx(1 / 16)}
    corner = np.zeros_like(even)
    corner[:12, -12:] = 1
    assert edge_shares(corner) == {"bottom": 0.0, "corner": 1.0}
    assert edge_shares(0 * even) == {"bottom": 0.0, "corner": 0.0}


def test_the_sum_of_shap_values_has_shaps_tolerance():
    assert not over_tolerance({"additivity": 0.03, "difference": -1.0})
    assert over_tolerance({"additivity": 0.05, "difference": -1.0})


def test_expected_parts_exist_for_every_class():
    assert set(EXPECTED) == set(FER2013.labels)
    assert {label for label, regions in EXPECTED.items() if not regions} == {"neutral"}
    assert all(set(regions) <= {*REGIONS} - {"face", "background"} for regions in EXPECTED.values())
    assert EXPECTED["angry"] == ("brows", "mouth")


# verdicts


def _row(position: int = 0, target: str = "happy", **values: Any) -> dict[str, Any]:
    """A face's figures, by default those of an even map."""
    prediction = {
        "model": "m",
        "method": "shap",
        "position": position,
        "row": 1000 + position,
        "label": target,
        "predicted": target,
        "right": True,
    }
    figures = {name: None for name in SCORES} | {
        "deletion": 0.3,
        "insertion": 0.6,
        "random_deletion": 0.4,
        "random_insertion": 0.5,
        "road": 0.1,
        "random_road": 0.1,
        "milliseconds": 5.0,
    }
    more = {
        "target": target,
        "empty": False,
        "regions": areas(),
        "bottom": 0.1,
        "corner": 0.1,
        "explainer": None,
        "difference": None,
    }
    return prediction | figures | more | values


def _regions(**given: float) -> dict[str, float]:
    return {**dict.fromkeys(REGIONS, 0.0), **given}


def test_a_pattern_is_held_when_the_interval_lies_above_the_area():
    area = areas()["mouth"] + areas()["eyes"]
    rows = [_row(i, regions=_regions(mouth=0.3, eyes=0.2 + 0.01 * i)) for i in range(6)]
    rows += [_row(10 + i, "angry", regions=_regions(nose=0.9, mouth=0.02)) for i in range(6)]
    rows += [_row(20 + i, "fear", regions=_regions(eyes=area * 2 * (i % 2))) for i in range(6)]
    rows += [_row(30 + i, "sad", regions=_regions(mouth=0.9)) for i in range(FEWEST - 1)]
    rows += [_row(40, "neutral"), _row(41, "happy", empty=True, regions=_regions())]
    found = {row["label"]: row for row in patterns(rows)}
    assert {label: row["verdict"] for label, row in found.items()} == {
        "happy": "held",
        "angry": "opposite",
        "fear": "not held",
        "sad": "too few",
    }
    happy = found["happy"]
    assert (happy["regions"], happy["faces"]) == (["mouth", "eyes"], 6)
    assert happy["area"] == pytest.approx(area)
    assert happy["share"]["mean"] == pytest.approx(0.525)
    assert happy["ratio"]["mean"] == pytest.approx(0.525 / area)
    assert happy["ratio"]["low"] == pytest.approx(happy["share"]["low"] / area)
    assert happy["others"] == pytest.approx(np.mean([*6 * [0.02], *3 * [0.0, 2 * area], *4 * [0.9], area]))


def test_a_method_is_better_than_random_only_with_the_whole_interval():
    better = findings([_row(i, deletion=0.3 + 0.01 * i) for i in range(8)], _maps(8))["models"]["m"]["methods"]["shap"][
        "against_random"
    ]
    assert (better["deletion"]["verdict"], better["insertion"]["verdict"]) == ("better", "better")
    assert better["deletion"]["mean"] == pytest.approx(-0.065)
    worse = findings([_row(i, deletion=0.5, insertion=0.4) for i in range(8)], _maps(8))["models"]["m"]["methods"][
        "shap"
    ]["against_random"]
    assert (worse["deletion"]["verdict"], worse["insertion"]["verdict"]) == ("worse", "worse")
    mixed = findings([_row(i, deletion=0.4 + 0.1 * (-1) ** i) for i in range(8)], _maps(8))["models"]["m"]["methods"][
        "shap"
    ]["against_random"]
    assert mixed["deletion"]["verdict"] == "open"
    few = findings([_row(i) for i in range(FEWEST - 1)], _maps(8))["models"]["m"]["methods"]["shap"]["against_random"]
    assert few["deletion"]["verdict"] == "too few"


def _maps(count: int, *keys: tuple[str, str]) -> dict[tuple[str, str, int], np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        (*key, i): rng.random((GRID, GRID), dtype=np.float32) for key in keys or [("m", "shap")] for i in range(count)
    }


def test_failures_are_counted_and_suspicious_faces_listed_by_row():
    rows = [_row(i, randomisation=0.1 * i) for i in range(9)]
    rows[0] |= {"empty": True, "regions": _regions(), "deletion": 0.0}
    rows[1] |= {"regions": _regions(background=0.6, face=0.4)}
    rows[2] |= {"bottom": 0.3, "corner": 0.26, "additivity": 0.5, "difference": 1.0}
    rows[3] |= {"additivity": 0.001, "difference": 1.0}
    found = findings(rows, _maps(9))["models"]["m"]["methods"]["shap"]
    assert (found["faces"], found["empty"], found["scores"]["deletion"]["mean"]) == (9, 1, pytest.approx(0.3))
    assert found["failures"] == {
        "unchanged": {"failed": 2, "of": 8},
        "weak_fit": None,
        "additivity": {"failed": 1, "of": 2},
        "additivity_largest": 0.5,
    }
    assert found["suspicious"] == {"background": [1001], "bottom": [1002], "corner": [1002]}
    words = " ".join(plain_words(findings(rows, _maps(9))))
    assert "SHAP on m: 1 of 9 maps are empty; 2 of 8 maps are unchanged by shuffled weights" in words
    assert "regressions" not in words


def test_wrong_and_correct_predictions_are_compared_when_both_are_enough():
    rows = [
        _row(i, right=i % 2 == 0, regions=_regions(background=0.2 + 0.2 * (i % 2) + 0.001 * i, face=0.5))
        for i in range(2 * FEWEST)
    ]
    found = findings(rows, _maps(20))
    background = found["models"]["m"]["methods"]["shap"]["background"]
    assert (
        background["wrong"] - background["right"]
        == pytest.approx(background["wrong_less_right"]["mean"])
        == pytest.approx(0.201)
    )
    assert "maps of wrong predictions have 20 points more relevance on the background" in " ".join(plain_words(found))
    fewer = findings(rows[:-1], _maps(20))["models"]["m"]["methods"]["shap"]["background"]
    assert fewer["wrong_less_right"] is None


def test_agreement_is_the_rank_correlation_of_maps():
    maps = _maps(3, ("a", "lime"), ("a", "shap"), ("b", "shap"))
    for i in range(3):
        maps["a", "lime", i] = maps["a", "shap", i] ** 2
        maps["b", "shap", i] = 1 - maps["a", "shap", i]
    rows = [
        _row(i, model=model, method=method)
        for model, method in (("a", "lime"), ("a", "shap"), ("b", "shap"))
        for i in range(3)
    ]
    rows[-1] |= {"predicted": "sad", "target": "sad"}
    found = findings(rows, maps)
    agreement = found["models"]["a"]["agreement"]
    assert agreement["methods"] == ["lime", "shap"]
    assert np.allclose(agreement["table"], 1)
    [between] = found["between"]
    assert (between["models"], between["method"], between["same_class"]) == (["a", "b"], "shap", 2)
    assert between["correlation"]["mean"] == pytest.approx(-1)
    assert (
        "a and b predict the same class for 2 faces; the mean rank correlation of their maps of one face is SHAP -1.00."
        in plain_words(found)
    )


def test_the_sentences_agree_with_the_figures():
    sentences = plain_words(
        findings(
            [_row(i, deletion=0.4, insertion=0.5, regions=_regions(mouth=0.5, face=0.5)) for i in range(8)], _maps(8)
        )
    )
    assert sentences == [
        "m predicts 8 of the 8 faces correctly (100%).",
        "m, deletion: no difference from random maps shown: SHAP.",
        "m, insertion: no difference from random maps shown: SHAP.",
        "m, road: no difference from random maps shown: SHAP.",
        "m: in 1 of 1 pairs of class and method the expected parts have more relevance than their area, and in 0 "
        "of these "
        "also more than in the maps of other classes. All methods agree on this for happy.",
    ]


# mean maps


def test_a_mean_map_weights_all_faces_equally():
    maps = _maps(MIN_FACES)
    maps["m", "shap", 0] = maps["m", "shap", 0] * 1000
    maps["m", "shap", 1][:] = 0
    rows = [_row(i, empty=i == 1) for i in range(MIN_FACES)] + [_row(MIN_FACES, "sad")]
    maps["m", "shap", MIN_FACES] = maps["m", "shap", 2]
    few = mean_maps(rows, maps)
    assert few["m", "shap", "happy"][1] == MIN_FACES - 1
    assert few["m", "shap", "happy"][0] is None
    assert few["m", "shap", "sad"] == (None, 1)
    rows[-1]["target"] = "happy"
    cells, count = mean_maps(rows, maps)["m", "shap", "happy"]
    assert (count, cells.mean()) == (MIN_FACES, pytest.approx(1))
    each = [shares(maps["m", "shap", i]) for i in range(MIN_FACES + 1) if i != 1]
    assert shares(cells)["mouth"] == pytest.approx(np.mean([s["mouth"] for s in each]), rel=1e-5)


# the page


class _Page(HTMLParser):
    """Parses a page: unclosed tags, attributes that could load something, and images."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.pictures: list[Image.Image] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [
            value
            for name, value in attrs
            if name in ("href", "src", "xlink:href", "srcset", "action") and value and not value.startswith("#")
        ]
        if tag == "img":
            given = dict(attrs)
            assert given["alt"]
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(given["src"].split(",")[1]))))
        elif tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _report(rows: list[dict[str, Any]], maps: dict[tuple[str, str, int], np.ndarray]) -> dict[str, Any]:
    found = findings(rows, maps)
    arguments = {
        "data": "<drawn>",
        "split": "validation",
        "per_class": 1,
        "methods": ["shap"],
        "seed": 0,
        "samples": 100,
        "full": False,
        "target": "predicted",
    }
    head = {
        "date": "2026-01-01",
        "versions": {"torch": "2"},
        "checkpoints": {"m": {"sha256": "0", "size": 48}},
        "row_is": "source_row",
    }
    return {
        **head,
        "arguments": arguments,
        "labels": list(FER2013.labels),
        "faces": len(rows),
        "summary": plain_words(found),
        "findings": found,
    }


def test_a_full_report_is_small_with_one_image_per_mean_map():
    keys = [
        (model, method) for model in ("native48", "upscale224") for method in ("gradcam", "gradcam++", "lime", "shap")
    ]
    maps = _maps(CLASSES * MIN_FACES, *keys)
    rows = [
        _row(i, FER2013.labels[i % CLASSES], model=model, method=method)
        for model, method in keys
        for i in range(CLASSES * MIN_FACES)
    ]
    html = render_page(_report(rows, maps), mean_maps(rows, maps))
    parsed = _Page(html)
    assert not parsed.open
    assert len(parsed.pictures) == 1 + len(keys) * CLASSES
    assert len(html.encode()) < 1_500_000
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "Scores",
        "Against random maps",
        "Where",
        "Expected patterns",
        "Agreement",
        "Failures",
        "Suspicious cases",
        "How it was made",
    ]
    assert "&lt;drawn&gt;" in html
    assert html.count('<th scope="row">') > 100


def test_numbers_have_a_minus_sign_except_rounded_zeros():
    assert (number(-0.001), number(-0.5), number(None)) == ("0.00", "−0.50", "–")
    assert interval({"mean": -0.051, "low": -0.2, "high": 0.1}, percent=True) == "−5<small>−20 to 10</small>"
    assert interval(None) == "–"


def test_a_class_of_too_few_faces_is_drawn_as_an_empty_frame():
    assert "<img" not in drawn(None, 2.0, "no map")
    image = _Page(drawn(np.full((GRID, GRID), 5.0), 2.0, "all at the top")).pictures[0].convert("RGB")
    assert image.getcolors() == [(GRID * GRID, (252, 255, 164))], "inferno's last colour"


# the command


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three faces of each class in validation, one in train."""
    folder = tmp_path_factory.mktemp("drawn")
    for split, per_class, seed in (("train", 1, 1), ("validation", 3, 2)):
        for i, face in enumerate(_faces(per_class * CLASSES, seed)):
            place = folder / split / FER2013.labels[i % CLASSES]
            place.mkdir(parents=True, exist_ok=True)
            face.save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights that predict happy for every face, so that one class has enough faces for a mean map."""
    torch.manual_seed(0)
    model = EmotionClassifier("emotion_cnn").eval()
    with torch.no_grad():
        model.network.classifier[-1].bias[FER2013.index("happy")] += 5
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(data, checkpoint, tmp_path_factory, datasets_cache):
    """The command's arguments without --out, its return value, and its folder."""
    patch = pytest.MonkeyPatch()
    patch.setattr(training.explanations.study, "RANDOM_MAPS", 1)
    out, work = tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("work")
    arguments = [
        "--data",
        str(data),
        "--per-class",
        "2",
        "--model",
        str(checkpoint),
        "--method",
        "gradcam++",
        "--method",
        "lime",
        "--samples",
        "100",
    ]
    arguments += ["--work", str(work)]
    yield arguments, main([*arguments, "--out", str(out)]), out
    patch.undo()


@pytest.mark.slow
def test_the_command_measures_every_face_with_every_method(run):
    _, report, out = run
    text = (out / "scores.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == report
    assert len(report["rows"]) == 2 * 2 * CLASSES
    assert {row["target"] for row in report["rows"]} == {"happy"}
    assert sum(row["right"] for row in report["rows"] if row["method"] == "lime") == 2
    by_method = {row["method"]: row for row in report["rows"]}
    assert {name for name, value in by_method["gradcam++"].items() if value is None} == {
        "fit",
        "additivity",
        "explainer",
        "segments",
        "difference",
    }
    assert None in (by_method["lime"]["stability"], by_method["lime"]["randomisation"]), (
        "LIME has all metrics only with --full"
    )
    assert by_method["lime"]["fit"] is not None
    assert len(report["checkpoints"]["tiny"]["sha256"]) == 64
    assert {"torch", "shap", "lime", "grad-cam", "numpy"} <= set(report["versions"])


def test_the_files_contain_no_image_of_the_data_and_no_local_path(run, data):
    _, report, out = run
    html, text = ((out / name).read_text() for name in ("index.html", "scores.json"))
    parsed = _Page(html)
    shown = [m["faces"] - m["empty"] for m in report["findings"]["models"]["tiny"]["methods"].values()]
    assert max(shown) >= MIN_FACES
    assert [p.size for p in parsed.pictures] == [(GRID, GRID)] * (1 + sum(count >= MIN_FACES for count in shown)), (
        "the average face, happy's mean maps"
    )
    assert parsed.links
    assert all(link.startswith("data:image/png;base64,") for link in parsed.links)
    assert not {"script", "link", "iframe", "object"} & parsed.tags
    for path in data.rglob("*.png"):
        face = np.asarray(Image.open(path), dtype=float)
        for picture in parsed.pictures:
            assert abs(np.corrcoef(np.asarray(picture, dtype=float).ravel(), face.ravel())[0, 1]) < 0.5
    assert str(data.parent) not in html + text
    longest = max(
        (len(value) for row in report["rows"] for value in row.values() if isinstance(value, list | dict)), default=0
    )
    assert longest <= len(REGIONS), "rows hold numbers, not maps"


def test_a_second_run_uses_the_stored_results(run, tmp_path, monkeypatch):
    arguments, report, _ = run

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a finished face was computed again")

    monkeypatch.setattr(training.explanations.report, "measure", never)
    monkeypatch.setattr(training.explanations.report, "baseline", never)
    again = main([*arguments, "--out", str(tmp_path)])
    assert again["rows"] == report["rows"]
    assert again["findings"] == report["findings"]
    with pytest.raises(AssertionError, match="computed again"):
        main([*arguments, "--target", "true", "--out", str(tmp_path)])  # other settings need new results


def test_a_killed_run_loses_only_the_current_face(tmp_path):
    store, done = Store(tmp_path / "work"), []

    def compute(i: int) -> tuple[dict[str, Any], np.ndarray]:
        if i == 2 and len(done) == 2:
            done.append(i)
            raise KeyboardInterrupt
        done.append(i)
        return {"i": i, "share": 1 / 3}, np.full((2, 2), i, dtype=np.float32)

    with pytest.raises(KeyboardInterrupt):
        [store.get({"face": i}, lambda i=i: compute(i)) for i in range(4)]
    found = [Store(tmp_path / "work").get({"face": i}, lambda i=i: compute(i)) for i in range(4)]
    assert done == [0, 1, 2, 2, 3]
    assert [row for row, _ in found] == [{"i": i, "share": 1 / 3} for i in range(4)]
    assert all((cells == i).all() for i, (_, cells) in enumerate(found))
    Store(None).get({"face": 0}, lambda: compute(0))
    assert done[-1] == 0, "without a folder nothing is stored"


def test_the_label_is_explained_on_request(checkpoint):
    predictor = training.explanations.report.load_predictors([str(checkpoint)])["tiny"]
    face = _faces(1, 7)[0]
    of_prediction = training.explanations.study.baseline(predictor, face, "sad")
    of_label = training.explanations.study.baseline(predictor, face, "sad", explain_label=True)
    assert (of_prediction["predicted"], of_prediction["target"], of_prediction["right"]) == ("happy", "happy", False)
    assert (of_label["predicted"], of_label["target"], of_label["right"]) == ("happy", "sad", False)
    assert of_label["random_deletion"] != of_prediction["random_deletion"]


def test_invalid_arguments_are_errors_that_name_them(data, checkpoint, tmp_path, datasets_cache):
    base = ["--data", str(data), "--out", str(tmp_path / "out")]
    tiny = ["--model", str(checkpoint)]
    with pytest.raises(InputError, match="two models are called 'tiny'"):
        main([*base, *tiny, *tiny])
    six = EmotionClassifier(ClassifierConfig("emotion_cnn", SIX_CLASS.labels, NATIVE48))
    six.save_pretrained(tmp_path / "six")
    with pytest.raises(InputError, match="tiny, six have different labels"):
        main([*base, *tiny, "--model", str(tmp_path / "six")])
    with pytest.raises(InputError, match="no method 'gradcamm'; choose from gradcam"):
        main([*base, *tiny, "--method", "gradcamm"])
    with pytest.raises(InputError, match=r"no split 'test' in .*; it has train, validation"):
        main([*base, *tiny, "--split", "test"])
    with pytest.raises(InputError, match="'angry' of validation has 3 faces"):
        main([*base, *tiny, "--per-class", "4"])
    with pytest.raises(InputError, match="none of rollout can explain tiny"):
        main([*base, *tiny, "--per-class", "1", "--method", "rollout"])
    assert not (tmp_path / "out").exists()
