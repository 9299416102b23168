"""README.md and the cards: what they print works, what they state stands in a report."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from emotion_hub.checkpoints import embedded_checkpoints
from training import card
from training.card_sections import report_of
from training.cards import embedded_card

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that README's blocks name."""
    from skimage import data

    Image.fromarray(data.astronaut()).save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(data.astronaut()).crop((178, 63, 278, 163)).save(tmp_path / "face.png")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_front_matter_is_what_spaces_read() -> None:
    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio"
    assert front["app_file"] == "app.py"
    assert (ROOT / front["app_file"]).is_file()
    assert isinstance(front["python_version"], str)
    assert len(front["short_description"]) <= 60, "the Hub refuses longer ones"
    assert front["models"]
    assert front["tags"]
    low = re.search(r"^gradio>=([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE).group(1)
    assert front["sdk_version"].startswith(low), "the Space installs sdk_version, whatever requirements.txt says"


def test_front_matter_passes_the_hubs_own_reader() -> None:
    from huggingface_hub import SpaceCard

    assert SpaceCard(README).data.to_dict()["sdk"] == "gradio"


@pytest.mark.parametrize("number", range(4))
def test_python_block_runs(number: int, folder: Path) -> None:
    """The library's four; the fifth, the demo's client, is run against the demo in test_ui.py."""
    assert re.search(r"happy|surprise|neutral|sad|fear|angry|disgust", run([sys.executable, "-c", blocks("python")[number]], folder))


def test_command_line_block_runs(folder: Path) -> None:
    [block] = [b for b in blocks("bash") if "emotion_hub predict" in b]
    for line in block.strip().splitlines():
        assert run([sys.executable, *shlex.split(line)[1:]], folder)


def test_set_up_is_two_commands() -> None:
    assert "pip install -r requirements.txt && python app.py\n" in blocks("bash")[0]
    assert "pip install -r requirements-dev.txt && pytest\n" in blocks("bash")[1]
    steps = (ROOT / ".ci" / "run").read_text().splitlines()
    assert {"pip install --quiet -r requirements-dev.txt", "pytest", "ruff check ."} <= set(steps)


def test_annotated_tree_names_what_is_there() -> None:
    [tree] = re.findall(r"## What is where\n\n```\n(.*?)```", README, re.DOTALL)
    for line in tree.splitlines():
        name = line.split()[0]
        assert ((ROOT / "emotion_hub" if line.startswith("  ") else ROOT) / name).exists(), name
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")}
    there = {p.name for p in (ROOT / "emotion_hub").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert there - named <= {"__init__.py", "__main__.py"}


def test_cards_and_readme_agree_with_the_reports() -> None:
    assert card.main(["--check"]) == []


@pytest.mark.parametrize(("name", "licence"), [("emotion_cnn", "mit"), ("native48", "mit"), ("upscale224", "apache-2.0")])
def test_card_of_a_checkpoint_is_readable_by_the_hub(name: str, licence: str) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard((embedded_checkpoints()[name] / "README.md").read_text()).data
    assert data.license == licence
    assert data.eval_results[0].metric_value == pytest.approx(report_of(embedded_checkpoints()[name])["accuracy"], abs=1e-4)
    assert "out of scope" in embedded_card(name).lower()
