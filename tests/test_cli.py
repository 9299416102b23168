"""`python -m emotion_hub`: what it prints, and its exit status."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tolerances import PROBS, assert_same_probs

import emotion_hub
from emotion_hub.__main__ import main
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.labels import FER2013
from emotion_hub.models import list_models


def _gray_face(image: Image.Image, path: Path) -> Path:
    """A ready-made face: 48 pixels a side, used whole without a detector."""
    image.convert("L").resize((48, 48)).save(path)
    return path


@pytest.fixture
def face(face_image, tmp_path) -> Path:
    return _gray_face(face_image, tmp_path / "face.png")


@pytest.fixture
def other(face_image, tmp_path) -> Path:
    return _gray_face(face_image.rotate(90), tmp_path / "other.png")


@pytest.fixture
def unreadable(tmp_path) -> Path:
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    return path


def _json(capsys, argv: list, status: int = 0):
    assert main([str(a) for a in argv]) == status
    return json.loads(capsys.readouterr().out)


def test_predict_prints_a_json_list_of_images_and_faces(capsys, face):
    [row] = _json(capsys, ["predict", face, "--json"])
    assert list(row) == ["image", "faces"]
    assert row["image"] == str(face)
    [answer] = row["faces"]
    assert list(answer["probs"]) == list(FER2013.labels)
    assert answer["predicted_class"] == answer["label"] == max(answer["probs"], key=answer["probs"].get)
    assert (answer["bbox"], answer["model"], answer["detector"]) == ([0, 0, 48, 48], "native48", None)
    assert answer["processing_time"] > 0


def test_predict_answers_as_the_library_does(capsys, face):
    [row] = _json(capsys, ["predict", face, "--json"])
    assert_same_probs(row["faces"][0]["probs"], emotion_hub.EmotionPredictor.from_pretrained("native48").predict(face)[0].probs)


def test_predict_prints_one_line_a_face_for_people(capsys, face, other):
    assert main(["predict", str(face), str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{face}: 1 face"
    assert lines[1].split()[0] in FER2013.labels
    assert "box (0, 0, 48, 48)" in lines[1]
    assert lines[2] == f"{other}: 1 face"
    assert len(lines) == 4


def test_several_images_keep_their_order_and_their_own_answers(capsys, face, other):
    rows = _json(capsys, ["predict", other, face, other, "--json"])
    assert [row["image"] for row in rows] == [str(other), str(face), str(other)]
    probs = [row["faces"][0]["probs"] for row in rows]
    assert_same_probs(probs[0], probs[2])
    assert max(abs(probs[0][label] - probs[1][label]) for label in probs[0]) > 10 * PROBS


def test_the_model_is_an_embedded_name_or_a_folder(capsys, face):
    [by_name] = _json(capsys, ["predict", face, "--json", "--model", "upscale224"])
    [by_folder] = _json(capsys, ["predict", face, "--json", "--model", embedded_checkpoints()["upscale224"]])
    assert by_name["faces"][0]["model"] == "upscale224"
    assert_same_probs(by_name["faces"][0]["probs"], by_folder["faces"][0]["probs"])


@pytest.mark.parametrize("command", ["predict", "compare"])
def test_an_unreadable_image_is_reported_and_the_others_go_on(capsys, command, face, unreadable):
    rows = _json(capsys, [command, unreadable, face, "--json"], status=1)
    assert rows[0]["faces"] == []
    assert "notes.png" in rows[0]["error"]
    assert len(rows[1]["faces"]) == 1
    assert "error" not in rows[1]


def test_an_unreadable_image_is_an_error_line_for_people(capsys, face, unreadable):
    assert main(["predict", "missing.png", str(unreadable), str(face)]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{face}: 1 face")
    first, second = printed.err.splitlines()
    assert first.startswith("error: missing.png: ")
    assert second.startswith(f"error: {unreadable}: ")


def test_a_dash_reads_standard_input(capsys, monkeypatch, face):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(face.read_bytes())))
    [row] = _json(capsys, ["predict", "-", "--json"])
    assert row["image"] == "-"
    assert_same_probs(row["faces"][0]["probs"], _json(capsys, ["predict", face, "--json"])[0]["faces"][0]["probs"])


def test_whole_takes_the_image_as_the_face(capsys, tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (200, 150), "gray").save(path)
    assert _json(capsys, ["predict", path, "--json"])[0]["faces"] == []
    [answer] = _json(capsys, ["predict", path, "--whole", "--json"])[0]["faces"]
    assert answer["bbox"] == [0, 0, 200, 150]
    [pair] = _json(capsys, ["compare", path, "--whole", "--json"])[0]["faces"]
    assert pair["bbox"] == [0, 0, 200, 150]


def test_an_image_without_a_face_is_no_error(capsys, tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (200, 150), "gray").save(path)
    assert main(["predict", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 0 faces\n"


def test_compare_prints_both_pipelines(capsys, face):
    [pair] = _json(capsys, ["compare", face, "--json"])[0]["faces"]
    assert (pair["native48"]["model"], pair["upscale224"]["model"]) == ("native48", "upscale224")
    assert pair["agree"] == (pair["native48"]["label"] == pair["upscale224"]["label"])
    assert main(["compare", str(face)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert f"native48 {pair['native48']['label']}" in line
    assert f"upscale224 {pair['upscale224']['label']}" in line
    assert ("agree" if pair["agree"] else "differ") in line


def test_an_unknown_model_exits_with_2_and_lists_the_known(capsys, face):
    assert main(["predict", str(face), "--model", "native84"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "'native84'" in printed.err
    assert "native48, upscale224" in printed.err


def test_a_damaged_checkpoint_exits_with_2(capsys, face, tmp_path):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["predict", str(face), "--model", str(tmp_path)]) == 2
    assert "not JSON" in capsys.readouterr().err


def test_predict_runs_on_onnx_runtime_and_without_torch_unless_it_is_named(face):
    code = (
        "import sys; from emotion_hub.__main__ import main\n"
        f"assert main(['predict', {str(face)!r}, '--whole']) == 0 and main(['compare', {str(face)!r}, '--whole']) == 0\n"
        "assert 'onnxruntime' in sys.modules and 'torch' not in sys.modules and 'cv2' not in sys.modules\n"
        f"assert main(['predict', {str(face)!r}, '--whole', '--backend', 'torch']) == 0 and 'torch' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("argv", [[], ["predict"], ["compare"], ["guess", "x.png"], ["predict", "x.png", "--strict"], ["models", "x"]])
def test_a_wrong_call_exits_with_2(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: python -m emotion_hub" in capsys.readouterr().err


def test_models_lists_the_checkpoints_and_the_networks(capsys):
    values = _json(capsys, ["models", "--json"])
    assert [row["name"] for row in values["checkpoints"]] == ["emotion_cnn", "native48", "upscale224"]
    assert values["networks"] == list_models()
    for row in values["checkpoints"]:
        assert row["labels"] == list(FER2013.labels)
        assert row["model"] in values["networks"]
        assert {"accuracy", "macro_f1", "n", "split", "parameters"} <= set(row)


def test_models_prints_the_measured_accuracy_or_says_that_there_is_none(capsys, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text('{"model": "emotion_cnn", "labels": ["a", "b"], "preprocess": {}}')
    for module in ("emotion_hub.__main__", "emotion_hub.checkpoints"):
        monkeypatch.setattr(f"{module}.embedded_checkpoints", lambda: {"mine": tmp_path})
    assert main(["models"]) == 0
    assert "not measured" in capsys.readouterr().out
    (tmp_path / "report.json").write_text('{"accuracy": 0.625, "n": 8, "split": "validation"}')
    assert main(["models"]) == 0
    assert "62.50% on validation (n=8)" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"emotion_hub {emotion_hub.__version__}\n"


def test_the_module_runs_as_a_command(face, unreadable):
    done = subprocess.run(
        [sys.executable, "-m", "emotion_hub", "predict", "-", str(unreadable), "--json"],
        cwd=Path(__file__).resolve().parents[1],
        input=face.read_bytes(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    rows = json.loads(done.stdout)
    assert (done.returncode, len(rows), len(rows[0]["faces"]), "error" in rows[1]) == (1, 2, 1, True), done.stderr.decode()
