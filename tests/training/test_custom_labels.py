"""Labels of the user's own: trained, evaluated, explained, exported, served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import training.audit
import training.evaluate
import training.package
import training.prepare
import training.train
from emotion_hub import EmotionPredictor, explain
from emotion_hub.__main__ import main
from emotion_hub.errors import LabelError
from emotion_hub.serve import ServeConfig, create_app
from tests.fakes.drawn_data import RECIPE, drawn_face
from tests.tolerances import assert_same_probs
from training.data.faces import load_split, vote_distribution

LABELS = ("Calm", "tense", "contempt")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with the three labels, and one of FER2013's that the label set lacks."""
    root, random = tmp_path_factory.mktemp("custom") / "data", np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        for label, name in enumerate((*LABELS, "happy")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                drawn_face(label, random).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def checkpoint(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained for one epoch on the three labels, packaged."""
    folder = tmp_path_factory.mktemp("checkpoint")
    head, table, rest = RECIPE.format(name="custom", seed=0).partition("[preprocess]")
    recipe = folder / "recipe.toml"
    recipe.write_text(f"{head}label_set = {list(LABELS)}\n{table}{rest}")
    training.train.main(["--recipe", str(recipe), "--data", str(data), "--out", str(folder / "run")])
    training.package.main(["--run", str(folder / "run"), "--data", str(data), "--out", str(folder / "checkpoint")])
    return folder / "checkpoint"


def test_the_checkpoint_has_the_labels_and_is_evaluated_on_them(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    argv = ["--checkpoint", str(checkpoint), "--data", str(data), "--split", "test"]
    report = training.evaluate.main([*argv, "--out", str(tmp_path / "report.json")])
    assert report["labels"] == list(LABELS)
    assert report["n"] == 12
    assert report["data"]["other_labels"] == {"happy": 4}


def test_it_predicts_alike_in_python_in_onnx_and_over_http(checkpoint: Path, tmp_path: Path) -> None:
    face = drawn_face(1, 5)
    face.save(tmp_path / "face.png")
    [prediction] = EmotionPredictor.from_pretrained(checkpoint).predict(face)
    assert tuple(prediction.probs) == LABELS
    exported = tmp_path / "custom.onnx"
    assert main(["export", str(checkpoint), "--out", str(exported)]) == 0
    [again] = EmotionPredictor.from_onnx(exported).predict(face)
    assert_same_probs(again.probs, prediction.probs)
    with TestClient(create_app(config=ServeConfig(models=(str(checkpoint),)))) as client:
        while client.get("/ready").status_code != 200:
            pass
        body = (tmp_path / "face.png").read_bytes()
        answer = client.post("/predict?whole=true", content=body, headers={"content-type": "image/png"}).json()
        assert_same_probs(answer["faces"][0]["probs"], prediction.probs)
        two = client.post(
            "/predict?whole=true&labels=Calm,contempt", content=body, headers={"content-type": "image/png"}
        )
        assert list(two.json()["faces"][0]["probs"]) == ["Calm", "contempt"]


def test_it_is_explained(checkpoint: Path) -> None:
    explanation = explain(drawn_face(0, 3), "gradcam", str(checkpoint), "contempt", versus="Calm", whole=True)
    assert (explanation.target, explanation.versus) == ("contempt", "Calm")
    assert explanation.heatmap.shape == (48, 48)


def test_predictions_over_a_part_of_the_labels_and_none_over_unknown_ones(checkpoint: Path) -> None:
    predictor = EmotionPredictor.from_pretrained(checkpoint, labels=["tense", "contempt"])
    [prediction] = predictor.predict(drawn_face(2, 7))
    assert tuple(prediction.probs) == ("tense", "contempt")
    assert list(prediction.left_out) == ["Calm"]
    with pytest.raises(LabelError, match=r"'bored' is not in custom; it has Calm, tense, contempt"):
        EmotionPredictor.from_pretrained(checkpoint, labels="Calm,bored")


def test_the_data_commands_take_labels_separated_by_commas(data: Path, tmp_path: Path) -> None:
    labels = ",".join(LABELS)
    audit = training.audit.main(["--data", str(data), "--labels", labels, "--near", "0"])
    assert audit["classes"]["train"]["counts"] == dict.fromkeys(LABELS, 12)
    out = tmp_path / "prepared"
    training.prepare.main(["--data", str(data), "--labels", labels, "--near", "0", "--out", str(out)])
    assert {folder.name for folder in (out / "train").iterdir()} == set(LABELS)


def test_a_label_that_no_set_has_stops_the_reading(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "train"
    for name in ("Calm", "calmm"):
        (folder / name).mkdir(parents=True)
        Image.new("L", (48, 48), len(name)).save(folder / name / "0.png")
    from emotion_hub.labels import label_set

    with pytest.raises(LabelError, match=r"unknown label 'calmm'; the label set has Calm, tense"):
        load_split(tmp_path / "data", "train", label_set("Calm,tense"))


def test_fer_plus_votes_for_contempt_count_where_the_set_has_it() -> None:
    from emotion_hub.labels import FERPLUS_VOTES, label_set

    votes = np.zeros((1, len(FERPLUS_VOTES)))
    votes[0, FERPLUS_VOTES.index("contempt")], votes[0, FERPLUS_VOTES.index("happiness")] = 6, 2
    shares, voted = vote_distribution(votes, label_set("happy,contempt"))
    assert voted.all()
    assert shares.tolist() == [[0.25, 0.75]]
