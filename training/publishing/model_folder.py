"""Write the folder of a model repository: weights, ONNX, card, report."""

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
from training.publishing.card_results import RESULTS_FILE
from training.publishing.card_training import training_text
from training.publishing.cards import EXAMPLES, FIGURE_FILE, repository_card
from training.publishing.checkpoint_files import report_of
from training.publishing.licences import Start, check_start, known_starts, licence_of

__all__ = ["package_of_origin", "write_model_folder"]

ROOT = Path(__file__).parents[2]

HANDLER = '''"""Handler of an Inference Endpoint, in the format of the Inference API; emotion_hub detects the face."""

from emotion_hub.interop.handler import EndpointHandler

__all__ = ["EndpointHandler"]
'''


def write_model_folder(
    checkpoint: str | Path, out: Path, repo_id: str, *, package: str | None = None, start: Start | None = None
) -> list[str]:
    """The names of the files written to `out`, a new or empty folder.

    `checkpoint` is an embedded name, or a folder with `report.json` of the test split and `training.json` beside
    the weights. The weights are copied byte for byte. `package` is the requirement from which pip installs
    emotion_hub, by default `package_of_origin()`. `start` states licence and origin of weights that this project
    does not know; PublishError is raised when it is needed and missing. Raises CheckpointError, with the command
    that writes it, for a report or record that is missing or belongs to other weights, and InputError for a
    folder that is not empty and for a checkpoint that is not on this machine.
    """
    folder = local_folder(checkpoint)
    if folder is None:
        raise InputError(
            f"--checkpoint {str(checkpoint)!r} is no embedded name and no folder; give the folder of a checkpoint"
        )
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} already holds files; give a new or empty folder")
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
            backend = OnnxBackend(folder / name)
            check_beside(folder / name, backend.file, backend.labels, backend.preprocess, str(checkpoint))
            copy_self_contained(folder / name, out / name)
    if not (out / ONNX_FILE).is_file():
        export_onnx(
            classifier, out / ONNX_FILE, storage=_storage(folder / WEIGHTS_FILE), weights_file=folder / WEIGHTS_FILE
        )
    for name in (REPORT_FILE, TRAINING_FILE):
        shutil.copyfile(folder / name, out / name)
    if (folder / RESULTS_FILE).is_file():
        shutil.copyfile(folder / RESULTS_FILE, out / RESULTS_FILE)
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
    """The requirement from which pip installs emotion_hub: the Git address that this checkout was cloned from.

    Raises InputError for a checkout without one. emotion_hub is in no package index, and its name alone might one
    day be another project's package.
    """
    command = ["git", "remote", "get-url", "origin"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True) if shutil.which("git") else None
    if done is None or done.returncode != 0 or not (address := done.stdout.strip()):
        raise InputError(
            "this checkout has no Git address to install emotion_hub from; give one, such as "
            "--package 'emotion-hub[serve] @ git+https://HOST/OWNER/emotion_hub'"
        )
    if "://" not in address:  # user@host:path
        address = "ssh://" + address.replace(":", "/", 1)
    elif address.startswith("http"):
        address = re.sub(r"//[^/@]*@", "//", address)  # removes a user name and token
    return f"emotion-hub[serve] @ git+{address}"


def _write_notice(folder: Path, path: Path, start: Start | None, *, embedded: bool) -> None:
    """Write NOTICE for weights that were fine-tuned from other weights.

    An embedded checkpoint gets the package's NOTICE.
    """
    known = known_starts(folder)
    sources = [
        f"{source}, licensed under the Apache License, Version 2.0\n(https://www.apache.org/licenses/LICENSE-2.0)"
        for source in known
    ]
    if start is not None:
        sources.append(start.source.strip())
    if embedded and known:
        shutil.copyfile(ROOT / "NOTICE", path)
    elif sources:
        lines = "".join(f"- {line}\n" for line in sources)
        path.write_text(
            f"The weights in this repository were fine-tuned, and thereby changed, from:\n{lines}"
            f"Licence of these weights: {licence_of(folder, start)}.\n"
        )


def _storage(weights: Path) -> str:
    """The data type of the ONNX file's weights: float16 if all weights of the checkpoint are float16, else float32."""
    with safe_open(weights, "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118  not a dict
    return "float16" if {kind for kind in kinds if kind.is_floating_point} == {torch.float16} else "float32"


def _write_example(path: Path) -> None:
    """Write the face in the packaged photo of Eileen Collins (NASA, public domain)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = load_image(example_path("astronaut"))
    photo.crop((130, 20, 330, 220)).save(path, quality=90)
