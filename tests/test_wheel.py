"""The wheel in new virtual environments: sizes, commands, missing extras."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from emotion_hub.examples import example_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

#: Largest sizes in megabytes: base dependencies, the package, and the dependencies with the extra `serve`.
BASE, PACKAGE, SERVE = 220, 110, 300

#: {extra: code that needs it}; trailing spaces make the keys different.
MISSING = {
    "torch": "from emotion_hub import EmotionPredictor; EmotionPredictor.from_pretrained('native48', backend='torch')",
    "torch ": "from emotion_hub import create_model; create_model('emotion_cnn')",
    "torch  ": "from emotion_hub import EmotionClassifier; EmotionClassifier.from_pretrained('native48')",
    "cam": "from emotion_hub import explain; explain(PHOTO, 'gradcam')",
    "explain": "from emotion_hub import explain; explain(PHOTO, 'lime')",
    "explain ": "from emotion_hub import explain; explain(PHOTO, 'shap')",
    "serve": "import emotion_hub.serve",
    "app": "import emotion_hub.ui",
    "batch": "from emotion_hub.batch import predict_many; predict_many(FOLDER, 'rows.parquet')",
    "video": "from emotion_hub.video import probe_video; probe_video(PHOTO)",
    "cluster": "from emotion_hub.batch import predict_many; predict_many(FOLDER, 'rows.csv', engine='ray')",
}


class Installed:
    """A virtual environment with the wheel; its working directory is not the checkout."""

    def __init__(self, folder: Path, wheel: Path, extra: str = "") -> None:
        self.folder, self.work = folder, folder / "work"
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"
        self.work.mkdir()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "EMOTION_HUB", "VIRTUAL_ENV"))
        }
        self.environment |= {"HF_HUB_OFFLINE": "1", "HOME": str(folder)}
        requirement = f"{wheel}[{extra}]" if extra else str(wheel)
        self.call(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])

    def call(self, arguments: list[str], status: int = 0) -> str:
        done = subprocess.run(
            [self.python, *arguments], cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def has(self, package: str) -> bool:
        return bool(
            subprocess.run(
                [self.python, "-c", f"import {package}"], cwd=self.work, env=self.environment, capture_output=True
            ).returncode
            == 0
        )

    def megabytes(self) -> dict[str, float]:
        """{folder in site-packages: its size}."""
        [packages] = (self.folder / "venv" / "lib").glob("python*/site-packages")
        return {
            part.name: sum(f.stat().st_size for f in (part.rglob("*") if part.is_dir() else [part]) if f.is_file())
            / 1e6
            for part in packages.iterdir()
        }


def _sources(folder: Path) -> Path:
    """A copy of the sources: a build creates a folder in its source, whose files would be in the next wheel."""
    shutil.copytree(ROOT / "emotion_hub", folder / "emotion_hub", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = _sources(folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, timeout=600)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory) -> Installed:
    return Installed(tmp_path_factory.mktemp("alone"), wheel)


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size <= 45e6


def test_the_base_installation_is_small(alone):
    sizes = alone.megabytes()
    package = sum(size for name, size in sizes.items() if name.startswith("emotion_hub"))
    tools = sum(
        size for name, size in sizes.items() if name.split("-")[0] in ("pip", "setuptools", "wheel", "_distutils_hack")
    )
    dependencies = sum(sizes.values()) - package - tools
    print(f"base dependencies {dependencies:.0f} MB, package {package:.0f} MB")
    assert package <= PACKAGE
    assert dependencies <= BASE
    assert not alone.has("torch")
    assert not alone.has("gradio")


def test_it_predicts_from_another_folder(alone):
    photo = str(example_path("astronaut"))
    script = alone.python.with_name("emotion-hub")
    done = subprocess.run(
        [script, "predict", photo, "--json"],
        cwd=alone.work,
        env=alone.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    [face] = json.loads(done.stdout)[0]["faces"]
    assert (face["label"], face["detector"]) == ("happy", "YuNet")
    table = alone.call(["-m", "emotion_hub", "compare", photo, "--labels", "six_class"])
    assert "happy" in table
    assert "Without disgust" in table


def test_batch_prediction_writes_csv_and_json_lines(alone):
    folder = str(example_path("astronaut").parent)
    for name in ("faces.csv", "faces.ndjson"):
        alone.call(["-m", "emotion_hub", "batch", folder, "--out", name])
    with open(alone.work / "faces.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (alone.work / "faces.ndjson").read_text().splitlines()]
    assert len(rows) == len(lines) >= 8
    assert {"astronaut.jpg"} < {Path(row["source"]).name for row in rows}


@pytest.mark.parametrize("extra", MISSING)
def test_a_missing_extra_is_named(alone, extra):
    photo = example_path("astronaut")
    code = f"PHOTO, FOLDER = {str(photo)!r}, {str(photo.parent)!r}\n{MISSING[extra]}"
    message = alone.call(["-c", code], status=1).splitlines()[-1]
    assert "MissingDependencyError" in message
    assert f"needs the extra {extra.strip()!r}" in message
    assert f'pip install ".[{extra.strip()}]"' in message


def test_the_command_line_names_a_missing_extra(alone):
    on_torch = ["predict", str(example_path("astronaut")), "--backend", "torch"]
    for arguments, extra in ((["serve"], "serve"), (on_torch, "torch")):
        output = alone.call(["-m", "emotion_hub", *arguments], status=2)
        assert output.startswith("error: ")
        assert f"needs the extra {extra!r}" in output
    assert "vit_base_224" in alone.call(["-m", "emotion_hub", "models", "--networks"])  # names need no torch


def test_lime_and_shap_run_without_torch(wheel, tmp_path_factory):
    explaining = Installed(tmp_path_factory.mktemp("explain"), wheel, "explain")
    assert not explaining.has("torch")
    assert not explaining.has("gradio")
    photo = str(example_path("astronaut"))
    output = explaining.call(
        ["-m", "emotion_hub", "explain", photo, "--method", "lime", "--method", "shap", "--samples", "200", "--json"]
    )
    explanations = json.loads(output[output.index("{") :])["explanations"]
    assert [one["method"] for one in explanations] == ["lime", "shap"]
    assert explanations[1]["parameters"]["explainer"] == "partition"
    assert all(one["target"] == "happy" and not one["empty"] for one in explanations)
    assert (explaining.work / "explanation.png").stat().st_size > 10_000


def test_the_server_installation_is_small_and_predicts(wheel, tmp_path_factory):
    serving = Installed(tmp_path_factory.mktemp("serve"), wheel, "serve")
    assert not serving.has("torch")
    sizes = serving.megabytes()
    ours = sum(
        size
        for name, size in sizes.items()
        if name.startswith("emotion_hub") or name.split("-")[0] in ("pip", "setuptools")
    )
    print(f"dependencies with serve {sum(sizes.values()) - ours:.0f} MB")
    assert sum(sizes.values()) - ours <= SERVE
    code = (
        "from starlette.testclient import TestClient\n"
        "from emotion_hub.serve import create_app\n"
        f"photo = open({str(example_path('astronaut'))!r}, 'rb')\n"
        "with TestClient(create_app()) as client:\n"
        "    print(client.post('/predict', files={'image': photo}).json()['label'])\n"
    )
    serving.call(["-m", "pip", "install", "--quiet", "httpx"])
    assert serving.call(["-c", code]).splitlines()[-1] == "happy"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_install_commands_of_readme_work(tmp_path):
    """The commands are run as printed, with another address and without dependencies."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Installation")[2]
    [block] = re.findall(r"```bash\n(pip install \..*?)```", section, re.DOTALL)
    checkout = _sources(tmp_path / "checkout")
    for words in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "all"],
    ):
        subprocess.run(["git", *words], cwd=checkout, check=True, timeout=120)
    for number, line in enumerate(block.strip().splitlines()):
        folder = tmp_path / f"venv{number}"
        venv.create(folder, with_pip=True)
        environment = os.environ | {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PIP_NO_DEPS": "1",
            "PYTHONPATH": "",
        }
        command = line.replace("git+https://HOST/OWNER/emotion_hub", f"git+file://localhost{checkout}")
        done = subprocess.run(
            ["bash", "-c", command], cwd=checkout, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        version = subprocess.run(
            [folder / "bin" / "emotion-hub", "--version"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert version.stdout.startswith("emotion_hub "), version.stderr
