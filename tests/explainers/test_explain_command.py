"""The explain command: sheet, JSON, errors and backends."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from emotion_hub.__main__ import main
from emotion_hub.predictor import EmotionPredictor


def test_the_command_writes_a_sheet_and_reports_errors(
    face_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    assert main(["explain", face_file, "--model", "native48", "--method", "gradcam", "--out", str(out)]) == 0
    assert "native48" in capsys.readouterr().out
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        assert image.format == "PNG"
    assert (
        main(
            [
                "explain",
                face_file,
                "--method",
                "gradcam",
                "--method",
                "gradcam++",
                "--json",
                "--metrics",
                "none",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert [e["method"] for e in answer["explanations"]] == ["gradcam", "gradcam++"]
    for argv, words in (
        (["--method", "cam"], "choose from gradcam"),
        (["--target", "bored"], "bored"),
        (["--out", "sheet.gif"], ".png"),
        (["--out", str(tmp_path / "nowhere" / "x.png")], "there is no folder"),
        (["--metrics", "some"], "none, map, fast, full"),
    ):
        assert main(["explain", face_file, "--out", str(out), *argv]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "x.png").write_text("no picture")
    assert main(["explain", str(tmp_path / "x.png"), "--out", str(out)]) == 1


@pytest.mark.parametrize("backend", ["torch", "onnx", "onnx-int8"])
def test_the_command_explains_on_the_chosen_backend(
    face_file: str, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--method",
        "lime",
        "--samples",
        "100",
        "--metrics",
        "none",
        "--json",
        "--out",
        str(tmp_path / "sheet.png"),
    ]
    assert main(["explain", face_file, "--backend", backend, *options]) == 0
    [explanation] = json.loads(capsys.readouterr().out)["explanations"]
    [prediction] = EmotionPredictor.from_pretrained("native48", backend=backend).predict(face_file)
    assert (explanation["target"], explanation["confidence"]) == (
        prediction.label,
        pytest.approx(prediction.confidence, abs=1e-5),
    )
