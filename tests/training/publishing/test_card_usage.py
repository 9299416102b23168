"""The snippets of model cards run and print what emotion_hub predicts."""

from __future__ import annotations

import re
from pathlib import Path

import huggingface_hub
import pytest
from PIL import Image

from emotion_hub import EmotionPredictor
from emotion_hub.checkpoints import ONNX_FILE, embedded_checkpoints
from emotion_hub.examples import example_path
from emotion_hub.images import load_image
from training.publishing.card_usage import embedded_usage, repository_usage


def _code(text: str, which: int) -> str:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[which]


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """A face as the file face.png in the working directory."""
    monkeypatch.chdir(tmp_path)
    image = load_image(example_path("astronaut")).crop((130, 20, 330, 220))
    image.save("face.png")
    return image


@pytest.mark.parametrize("name", ["native48", "upscale224"])
def test_the_onnx_snippet_prints_the_probabilities_of_emotion_hub(
    name: str, face: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = embedded_checkpoints()[name]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, file: str(folder / file))
    code = _code(repository_usage("me/mine", folder, timm=name == "upscale224", package="p"), 2)
    assert f'"{ONNX_FILE}"' in code
    exec(compile(code, "card", "exec"), {})  # the code of the card
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    [prediction] = EmotionPredictor.from_pretrained(name).predict_faces([face])
    assert {label: float(prob) for label, prob in printed.items()} == pytest.approx(prediction.probs, abs=1.5e-3)


def test_the_snippet_of_an_embedded_checkpoint_prints_label_probability_and_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    load_image(example_path("astronaut")).save("photo.jpg")
    exec(compile(_code(embedded_usage("native48"), 0), "card", "exec"), {})  # the code of the card
    [line] = capsys.readouterr().out.splitlines()
    [prediction] = EmotionPredictor.from_pretrained("native48").predict("photo.jpg")
    assert line.startswith(f"{prediction.label} {round(prediction.confidence, 3)} (")


def test_means_that_differ_per_channel_are_written_as_an_array(tmp_path: Path) -> None:
    text = (embedded_checkpoints()["upscale224"] / "config.json").read_text()
    (tmp_path / "config.json").write_text(re.sub(r'"mean": \[[^]]*\]', '"mean": [0.4, 0.5, 0.6]', text))
    assert "/ 255 - np.array([0.4, 0.5, 0.6]).reshape(-1, 1, 1)) / 0.5" in repository_usage("a/b", tmp_path, True, "p")
