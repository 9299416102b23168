"""README.md and the cards: blocks run, figures match the reports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.examples import example_path
from emotion_hub.images import load_image
from tests.fakes.drawn_data import drawn_face
from training import card
from training.publishing.card_sections import report_of
from training.publishing.cards import embedded_card

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that README's blocks name."""
    shutil.copyfile(example_path("astronaut"), tmp_path / "photo.jpg")
    face = load_image(example_path("astronaut")).crop((178, 63, 278, 163))
    face.save(tmp_path / "face.png")
    (tmp_path / "photos").mkdir()
    face.save(tmp_path / "photos" / "one.jpg")
    _film(tmp_path / "clip.mp4", face.resize((96, 96)))
    return tmp_path


def _film(path: Path, frame: Image.Image) -> None:
    """A second of the same frame."""
    import av

    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = *frame.size, "yuv420p"
        for packet in (p for _ in range(5) for p in stream.encode(av.VideoFrame.from_image(frame))):
            film.mux(packet)
        film.mux(stream.encode())


def run(command: list[str], folder: Path, offline: str = "1", timeout: float = 180) -> str:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": offline, "HOME": str(folder)}
    environment |= {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_front_matter_is_what_spaces_read() -> None:
    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio"
    assert front["app_file"] == "app.py"
    assert (ROOT / front["app_file"]).is_file()
    assert isinstance(front["python_version"], str)
    assert len(front["short_description"]) <= 60, "the Hub refuses longer ones"
    assert front["tags"]
    low = re.search(r"^gradio>=([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE).group(1)
    assert front["sdk_version"].startswith(low), "the Space installs sdk_version, whatever requirements.txt says"


def test_front_matter_passes_the_hubs_own_reader() -> None:
    from huggingface_hub import SpaceCard

    assert SpaceCard(README).data.to_dict()["sdk"] == "gradio"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_python_block_runs(number: int, folder: Path) -> None:
    """The library's own; those of the server, the demo and transformers have tests of their own."""
    assert re.search(
        r"happy|surprise|neutral|sad|fear|angry|disgust", run([sys.executable, "-c", blocks("python")[number]], folder)
    )


@pytest.mark.slow
def test_command_line_block_runs(folder: Path) -> None:
    [block] = [b for b in blocks("bash") if "--annotate boxed" in b]
    for line in block.strip().splitlines():
        command, *arguments = shlex.split(line)
        assert command == "emotion-hub"
        said = run([sys.executable, "-m", "emotion_hub", *arguments], folder)
        assert said or "--out" in arguments
    assert (folder / "faces.csv").is_file()
    assert (folder / "boxed" / "one.png").is_file()


@pytest.mark.slow
def test_the_fine_tuning_block_learns_300_images_in_five_minutes(folder: Path) -> None:
    [block] = [b for b in blocks("bash") if "finetune_folder.toml" in b]
    random = np.random.default_rng(0)
    for label, name in enumerate(("calm", "tense", "contempt")):
        (folder / "my_images" / name).mkdir(parents=True)
        for number in range(100):
            drawn_face(label, random).save(folder / "my_images" / name / f"{number}.png")
    (folder / "training").symlink_to(ROOT / "training")  # the block is run at the root of a checkout
    before, said = resource.getrusage(resource.RUSAGE_CHILDREN), ""
    for line in block.strip().splitlines():
        command, *arguments = shlex.split(line)
        start = {"python": [], "emotion-hub": ["-m", "emotion_hub"]}[command]
        more = ["--out", "report.json"] if "training.evaluate" in line else []
        said = run([sys.executable, *start, *arguments, *more], folder, timeout=900)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # processor time, which other work on the machine does not lengthen: an upper bound of the time on idle cores
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 300
    report = json.loads((folder / "report.json").read_text())
    assert report["labels"] == ["calm", "contempt", "tense"]
    assert report["n"] >= 40
    assert report["accuracy"] > 0.8  # chance is a third
    assert re.search(r"calm|tense|contempt", said)


@pytest.mark.slow
def test_the_block_on_own_images_measures_groups(folder: Path) -> None:
    [line] = [b.strip() for b in blocks("bash") if "--groups age,gender" in b]
    (folder / "my_photos").mkdir()
    rows = ["file_name,label,age,gender"]
    for name, label in (("astronaut", "joy"), ("grace_hopper", "neutral"), ("einstein", "contempt")):
        shutil.copyfile(example_path(name), folder / "my_photos" / f"{name}.jpg")
        rows.append(f"{name}.jpg,{label},over 40,not asked")
    (folder / "my_photos" / "labels.csv").write_text("\n".join(rows) + "\n")
    said = run([sys.executable, *shlex.split(line)[1:]], folder)
    report = json.loads((folder / "report.json").read_text())
    assert report["data"]["mapped"] == {"joy": "happy", "contempt": "disgust"}
    assert report["groups"]["age"]["values"] == {"over 40": {"n": 3, "no_face": 0}}
    assert "fewer than 30 images" in said
    errors = round(3 * (1 - report["accuracy"]))
    assert (folder / "errors.html").read_text().count("<figure>") == errors


@pytest.mark.slow
def test_publishing_blocks_write_folders_that_transformers_reads(folder: Path) -> None:
    [block] = [b for b in blocks("bash") if "training.publish model" in b]
    model, dataset, space = block.strip().splitlines()
    (folder / "DATA" / "train" / "happy").mkdir(parents=True)
    Image.open(folder / "face.png").save(folder / "DATA" / "train" / "happy" / "one.png")
    for line, more in ((model, []), (dataset, ["--dry-run", "data"]), (space, ["--dry-run", "space"])):
        run([sys.executable, *shlex.split(line)[1:], *more], folder)
    assert (folder / "folder" / "model.onnx").is_file()
    assert (folder / "data" / "README.md").is_file()
    assert (folder / "space" / "app.py").is_file()
    [code] = [b for b in blocks("python") if "pipeline(" in b]
    from emotion_hub.predictor import embedded_predictor

    expected = embedded_predictor("native48").predict(folder / "face.png", whole=True)[0]
    answer = run(
        [sys.executable, "-c", code + "print(answers[0]['label'], round(answers[0]['score'], 4))"], folder
    ).splitlines()[-1]
    label, score = answer.split()
    assert (label, float(score)) == (expected.label, pytest.approx(expected.confidence, abs=1e-3))


def test_the_hubs_client_block_is_answered_by_serve(folder: Path) -> None:
    [command] = [b.strip() for b in blocks("bash") if "emotion_hub serve" in b]
    [code] = [b for b in blocks("python") if "InferenceClient" in b]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(
        [sys.executable, *shlex.split(command.replace("8000", port))[1:], "--no-demo"], cwd=folder, env=environment
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready") as answer:
                if answer.status == 200:
                    break
            time.sleep(0.1)
        assert "%" in run([sys.executable, "-c", code.replace("8000", port)], folder, offline="0")
    finally:
        server.terminate()
        assert server.wait(30) == 0


def test_set_up_is_two_commands() -> None:
    assert "pip install -r requirements.txt && python app.py\n" in blocks("bash")[0]
    assert "pip install -r requirements-dev.txt && pytest -n 2 --dist loadfile\n" in blocks("bash")[1]
    steps = {step.partition(" || ")[0] for step in (ROOT / ".ci" / "run").read_text().splitlines()}
    assert {"pip install --quiet -r requirements-dev.txt", "pytest -n 2 --dist loadfile", "ruff check ."} <= steps


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "model_card.md", "docs/architecture.md"]
)
def test_every_link_and_picture_of_a_page_exists(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    for target in targets:
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_cards_and_readme_agree_with_the_reports() -> None:
    assert card.main(["--check"]) == []


@pytest.mark.parametrize(
    ("name", "licence"), [("emotion_cnn", "mit"), ("native48", "mit"), ("upscale224", "apache-2.0")]
)
def test_card_of_a_checkpoint_is_readable_by_the_hub(name: str, licence: str) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard((embedded_checkpoints()[name] / "README.md").read_text()).data
    assert data.license == licence
    assert data.eval_results[0].metric_value == pytest.approx(
        report_of(embedded_checkpoints()[name])["accuracy"], abs=1e-4
    )
    assert "out of scope" in embedded_card(name).lower()
