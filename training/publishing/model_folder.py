"""The folder of a model repository: one checkpoint for every reader, with its card, report, figure and example."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import torch
from safetensors import safe_open

from emotion_hub.backends import OnnxBackend
from emotion_hub.checkpoints import INT8_FILE, ONNX_FILE, REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, local_folder
from emotion_hub.errors import InputError
from emotion_hub.examples import example_path
from emotion_hub.images import load_image
from emotion_hub.interop.files import is_timm_network, write_timm_files, write_transformers_files
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.onnx.export import export_onnx
from emotion_hub.onnx.external_data import copy_self_contained
from emotion_hub.onnx.files import check_beside
from training.publishing.architecture import draw_architecture
from training.publishing.card_sections import report_of, training_text
from training.publishing.cards import (
    EXAMPLES,
    FIGURE_FILE,
    Start,
    apache_source,
    check_start,
    licence_of,
    repository_card,
)

__all__ = ["package_of_origin", "write_model_folder"]

ROOT = Path(__file__).parents[2]

HANDLER = '''"""What an Inference Endpoint calls for this repository; emotion_hub finds the face and answers as the Inference API does."""

from emotion_hub.interop.handler import EndpointHandler

__all__ = ["EndpointHandler"]
'''


def write_model_folder(
    checkpoint: str | Path, out: Path, repo_id: str, *, package: str | None = None, start: Start | None = None
) -> list[str]:
    """The names of the files written to `out`, which must be empty or new.

    `checkpoint` is an embedded name or a folder that holds `report.json` of the test split and `training.json` beside the weights. The weights are
    copied byte for byte. `package` is what pip installs emotion_hub from, by default `package_of_origin()`. `start` tells the licence and the origin of
    weights that this project does not know; PublishError asks for it where it is needed. Raises CheckpointError, with the command that makes it, for a
    missing or foreign report or record, and InputError for a folder in use and for a checkpoint that is not on this machine.
    """
    folder = local_folder(checkpoint)
    if folder is None:
        raise InputError(
            f"--checkpoint {str(checkpoint)!r} is no embedded name and no folder; publish what is on this machine"
        )
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} holds files already; name a folder that is new or empty")
    package = package or package_of_origin()
    report_of(folder)
    training_text(folder)
    check_start(folder, start)
    classifier = EmotionClassifier.from_pretrained(checkpoint)
    timm = is_timm_network(classifier)
    if timm:
        write_timm_files(checkpoint, out, licence=licence_of(folder, start))
    else:
        write_transformers_files(checkpoint, out)
    for name in (ONNX_FILE, INT8_FILE):
        if (folder / name).is_file():
            made = OnnxBackend(folder / name)
            check_beside(folder / name, made.file, made.labels, made.preprocess, str(checkpoint))
            copy_self_contained(folder / name, out / name)
    if not (out / ONNX_FILE).is_file():
        export_onnx(
            classifier, out / ONNX_FILE, storage=_storage(folder / WEIGHTS_FILE), weights_file=folder / WEIGHTS_FILE
        )
    for name in (REPORT_FILE, TRAINING_FILE):
        shutil.copyfile(folder / name, out / name)
    shutil.copyfile(ROOT / "LICENSE", out / "LICENSE")
    embedded = folder != Path(checkpoint)
    _write_notice(folder, out / "NOTICE", start, embedded=embedded)
    draw_architecture(classifier, out / FIGURE_FILE)
    for name in EXAMPLES:
        _write_example(out / name)
    (out / "handler.py").write_text(HANDLER)
    (out / "requirements.txt").write_text(package + "\n")
    name = str(checkpoint) if embedded else repo_id.split("/")[-1]
    (out / "README.md").write_text(repository_card(name, folder, repo_id, timm=timm, package=package, start=start))
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def package_of_origin() -> str:
    """The requirement by which pip installs emotion_hub from the Git address that this checkout came from.

    Raises InputError for a checkout without one: no package index has emotion_hub, and a name alone may one day be somebody else's package.
    """
    command = ["git", "remote", "get-url", "origin"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True) if shutil.which("git") else None
    if asked is None or asked.returncode != 0 or not (address := asked.stdout.strip()):
        raise InputError(
            "this checkout has no Git address to install emotion_hub from; name one, such as "
            "--package 'emotion-hub[serve] @ git+https://HOST/OWNER/emotion_hub'"
        )
    if "://" not in address:  # user@host:path
        address = "ssh://" + address.replace(":", "/", 1)
    elif address.startswith("http"):
        address = re.sub(r"//[^/@]*@", "//", address)  # without a user's token
    return f"emotion-hub[serve] @ git+{address}"


def _write_notice(folder: Path, path: Path, start: Start | None, *, embedded: bool) -> None:
    """Whose weights these were and what was done to them, where they were somebody's: the package's own notice for an embedded checkpoint."""
    sources = []
    if source := apache_source(folder):
        sources.append(
            f"the ImageNet weights of {source}, licensed under the Apache License, Version 2.0\n(https://www.apache.org/licenses/LICENSE-2.0)"
        )
    if start is not None:
        sources.append(start.source.strip())
    if embedded and source:
        shutil.copyfile(ROOT / "NOTICE", path)
    elif sources:
        lines = "".join(f"- {line}\n" for line in sources)
        path.write_text(
            f"The weights in this repository were fine-tuned, and thereby changed, from:\n{lines}Their licence now: {licence_of(folder, start)}.\n"
        )


def _storage(weights: Path) -> str:
    """How the ONNX file stores its weights: as the checkpoint does, where that is float16, else float32."""
    with safe_open(weights, "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118  not a dict
    return "float16" if {kind for kind in kinds if kind.is_floating_point} == {torch.float16} else "float32"


def _write_example(path: Path) -> None:
    """The face in the packaged photo of Eileen Collins, which NASA put into the public domain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = load_image(example_path("astronaut"))
    photo.crop((130, 20, 330, 220)).save(path, quality=90)
