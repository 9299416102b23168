"""Publish a checkpoint and load it in five ways; its card; Spaces."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from huggingface_hub import HfApi, InferenceClient, ModelCard, RepoCard, hf_hub_download
from PIL import Image

import training.evaluate
import training.package
import training.publishing.model_folder
import training.train
from emotion_hub.checkpoints import REPORT_FILE, TRAINING_FILE, WEIGHTS_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError, InputError, PublishError
from emotion_hub.models.classifier import EmotionClassifier
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.serve import create_app
from tests.fakes.drawn_data import RECIPE, drawn_folder
from tests.tolerances import assert_same_probs
from training.publish import main
from training.publishing.architecture import blocks, draw_architecture
from training.publishing.space_folder import space_variables

pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("datasets_cache")

#: Code that runs without emotion_hub: transformers' pipeline and, for a network of timm's own, timm.
ELSEWHERE = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("emotion_hub", "training"):
            raise ImportError("not here")

sys.meta_path.insert(0, Blocked())
from PIL import Image
from transformers import pipeline

repo, pictures, timm_layout = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "timm"
ask = pipeline("image-classification", model=repo, **({} if timm_layout else {"trust_remote_code": True}))
found = {"pipeline": [{row["label"]: row["score"] for row in ask(path, top_k=7)} for path in pictures]}
if timm_layout:
    import timm, torch
    network = timm.create_model("hf-hub:" + repo, pretrained=True).eval()
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    with torch.inference_mode():
        rows = [network(prepare(Image.open(path).convert("RGB"))[None]).softmax(-1)[0].tolist() for path in pictures]
    found["timm"] = [dict(zip(network.pretrained_cfg["label_names"], row)) for row in rows]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint trained here: one epoch on drawn faces, calibrated and measured."""
    root = tmp_path_factory.mktemp("trained")
    drawn_folder(root / "data")
    (root / "drawn.toml").write_text(RECIPE.format(name="drawn", seed=0))
    data, run, package = (str(root / name) for name in ("data", "run", "package"))
    training.train.main(["--recipe", str(root / "drawn.toml"), "--data", data, "--out", run])
    training.package.main(["--run", run, "--data", data, "--out", package])
    training.evaluate.main(
        ["--checkpoint", package, "--data", data, "--split", "test", "--out", f"{package}/{REPORT_FILE}"]
    )
    return root / "package"


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest) -> str:
    """An embedded name, or the folder of `trained`."""
    return str(request.getfixturevalue("trained")) if request.param == "trained" else request.param


each_checkpoint = pytest.mark.parametrize("checkpoint", [*embedded_checkpoints(), "trained"], indirect=True)


def publish(checkpoint: str | Path, repo: str, *more: str):
    package = [] if "--package" in more else ["--package", "emotion-hub[serve] @ git+https://example.org/emotion_hub"]
    return main(["model", "--checkpoint", str(checkpoint), "--repo", repo, *package, *more])


@contextmanager
def served(repo: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app({repo: EmotionPredictor.from_pretrained(repo)}, default=repo)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@each_checkpoint
@pytest.mark.slow
def test_five_ways_to_load_give_equal_probabilities(
    hub, checkpoint: str, face_image: Image.Image, tmp_path: Path
) -> None:
    repo = "tester/published"
    done = publish(checkpoint, repo)
    pictures = []
    for i, face in enumerate((face_image, face_image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
        pictures.append(tmp_path / f"{i}.png")
        face.convert("L").resize((48, 48)).save(pictures[-1])
    expected = [EmotionPredictor.from_pretrained(checkpoint).predict(path, whole=True)[0].probs for path in pictures]

    ways = {
        "from_pretrained": [
            EmotionPredictor.from_pretrained(repo, done.commit).predict(path, whole=True)[0].probs for path in pictures
        ]
    }
    ways["onnx"] = [
        EmotionPredictor.from_pretrained(repo, backend="onnx").predict(path, whole=True)[0].probs for path in pictures
    ]
    ways["bare ONNX Runtime"] = _bare_onnx(repo, pictures)
    timm = "architecture" in json.loads(hub.files(repo)["config.json"])
    command = [sys.executable, "-c", ELSEWHERE, repo, json.dumps([str(p) for p in pictures]), "timm" if timm else ""]
    ways |= json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    with served(repo) as url:
        client = InferenceClient(model=f"{url}/models/{repo}")
        ways["client"] = [
            {row.label: row.score for row in client.image_classification(path.read_bytes())} for path in pictures
        ]
    assert {"pipeline", "client", "onnx"} <= ways.keys()
    assert ("timm" in ways) == (checkpoint == "upscale224")
    for way, answers in ways.items():
        for answer, probs in zip(answers, expected, strict=True):
            assert_same_probs(answer, probs, way)
    assert len(hub.seen("/cdn/", "PUT", 200)) >= 2, "the weights were uploaded with LFS"
    assert not publish(checkpoint, repo).changed, "nothing changed, so there is no commit"


def _bare_onnx(repo: str, pictures: list[Path]) -> list[dict[str, float]]:
    """Probabilities computed with only onnxruntime, the file and its metadata."""
    import onnxruntime

    session = onnxruntime.InferenceSession(hf_hub_download(repo, "model.onnx"), providers=["CPUExecutionProvider"])
    record = json.loads(session.get_modelmeta().custom_metadata_map["emotion_hub"])
    prep, found = record["preprocess"], []
    for path in pictures:
        face = Image.open(path)
        if prep["size"] != 48:
            face = face.resize((prep["size"],) * 2, Image.Resampling[prep["upsample"].upper()])
        pixels = np.stack([np.asarray(face, dtype=np.float32) / 255] * prep["channels"])
        pixels = (pixels - np.reshape(prep["mean"], (-1, 1, 1))) / np.reshape(prep["std"], (-1, 1, 1))
        logits = session.run(["logits"], {"input": pixels[None].astype(np.float32)})[0][0]
        odds = np.exp(logits - logits.max())
        found.append(dict(zip(record["labels"], (odds / odds.sum()).tolist(), strict=True)))
    return found


@each_checkpoint
def test_the_folder_is_complete_and_its_card_has_no_placeholders(hub, checkpoint: str, tmp_path: Path) -> None:
    out = publish(
        checkpoint,
        "tester/dry",
        "--dry-run",
        str(tmp_path / "out"),
        "--package",
        "emotion-hub @ git+https://example.org/x",
    )
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    needed = {
        "README.md",
        "config.json",
        "model.safetensors",
        "model.onnx",
        "handler.py",
        "requirements.txt",
        "report.json",
        "training.json",
        "LICENSE",
    }
    assert needed | {"architecture.png", "examples/collins.jpg"} <= names
    assert ("NOTICE" in names) == (checkpoint == "upscale224"), "Apache-2.0 weights are published with their notice"
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert (out / "requirements.txt").read_text() == "emotion-hub @ git+https://example.org/x\n"
    source = embedded_checkpoints().get(checkpoint, Path(checkpoint))
    assert (out / WEIGHTS_FILE).read_bytes() == (source / WEIGHTS_FILE).read_bytes()
    assert not hub.seen("/api/models", method="POST"), "a dry run uploads nothing"

    card, report = ModelCard.load(out / "README.md"), json.loads((source / REPORT_FILE).read_text())
    card.validate()
    results = {(r.dataset_name, r.metric_name): r.metric_value for r in card.data.eval_results}
    data = "data" if checkpoint not in embedded_checkpoints() else "FER2013"  # the name of the data folder of `trained`
    assert results[data, "Accuracy"] == round(report["accuracy"], 4)
    assert results[data, "Macro F1"] == round(report["macro_f1"], 4)
    assert ("FER2013" in card.content) == (data == "FER2013")
    assert f"{report['without_copies']['accuracy']:.2%}" in card.content
    assert {r.dataset_split for r in card.data.eval_results} == {"test"}
    assert [w["src"] for w in card.data.widget] == ["examples/collins.jpg"]
    energy = "kWh" if checkpoint != "native48" else "energy"
    for words in (
        "AI Act",
        "## Out of scope",
        "## Limits",
        "seed 0",
        energy,
        "most often mistaken for",
        "architecture.png",
    ):
        assert words in card.text
    for blank in ("[More Information Needed]", "TODO", "None", "nan", "{{", "\n\n\n"):
        assert blank not in card.text, blank
    assert Image.open(out / "examples" / "collins.jpg").size == (200, 200)


def test_the_handler_module_exports_one_class(trained: Path, tmp_path: Path, face_image: Image.Image) -> None:
    out = publish(trained, "tester/handler", "--dry-run", str(tmp_path / "out"))
    namespace: dict = {}
    exec((out / "handler.py").read_text(), namespace)
    buffer = io.BytesIO()
    face_image.save(buffer, "PNG")
    answer = namespace["EndpointHandler"](str(out))(
        {"inputs": buffer.getvalue(), "parameters": {"whole": True, "top_k": 2}}
    )
    expected = EmotionPredictor.from_pretrained(trained).predict(face_image, whole=True)[0]
    assert [row["label"] for row in answer] == sorted(expected.probs, key=expected.probs.get, reverse=True)[:2]
    assert_same_probs(answer[0]["score"], expected.confidence)


@pytest.mark.parametrize(
    ("file", "command"),
    [(REPORT_FILE, "training.evaluate --checkpoint"), (TRAINING_FILE, "training.package --run RUN --out")],
)
def test_a_missing_report_is_an_error_with_the_command_that_writes_it(
    trained: Path, tmp_path: Path, file: str, command: str
) -> None:
    broken = Path(shutil.copytree(trained, tmp_path / "broken"))
    (broken / file).unlink()
    with pytest.raises(CheckpointError, match=rf"no {file}; make it with: python -m {command}"):
        publish(broken, "tester/x", "--dry-run", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_report_of_other_weights_or_another_split_is_rejected(trained: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(trained, tmp_path / "broken"))
    report = json.loads((broken / REPORT_FILE).read_text())
    for change, words in (
        ({"sha256": "0" * 64}, "measures other weights"),
        ({"split": "validation"}, "measures 'validation', a card states the test split"),
    ):
        (broken / REPORT_FILE).write_text(json.dumps({**report, **change}))
        with pytest.raises(CheckpointError, match=words):
            publish(broken, "tester/x", "--dry-run", str(tmp_path / "out"))


def test_only_local_checkpoints_are_published_and_nothing_is_overwritten(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no embedded name and no folder"):
        publish("somebody/model", "tester/x", "--dry-run", str(tmp_path / "out"))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").touch()
    with pytest.raises(InputError, match="already holds files"):
        publish(trained, "tester/x", "--dry-run", str(tmp_path / "used"))


def test_weights_of_unknown_licence_need_licence_and_source(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "theirs"))
    record = json.loads((folder / TRAINING_FILE).read_text())
    record["stages"][0]["recipe"]["init"] = "pretrained"
    (folder / TRAINING_FILE).write_text(json.dumps(record))
    dry = ("--dry-run", str(tmp_path / "out"))
    with pytest.raises(
        PublishError, match="started from 'pretrained' weights for emotion_cnn, whose licence is unknown"
    ):
        publish(folder, "tester/x", *dry)
    with pytest.raises(PublishError, match=r"--start-source None: the card needs both"):
        publish(folder, "tester/x", *dry, "--licence", "other")
    assert not (tmp_path / "out").exists()
    out = publish(
        folder, "tester/x", *dry, "--licence", "cc-by-nc-4.0", "--start-source", "Weights of a museum, for study only."
    )
    assert ModelCard.load(out / "README.md").data.license == "cc-by-nc-4.0"
    assert "- Weights of a museum, for study only.\n" in (out / "NOTICE").read_text()


def test_a_failed_upload_leaves_no_incomplete_repository(hub, trained: Path) -> None:
    hub.fail(r"/api/models/tester/refused/commit/", status=500, times=50)
    with pytest.raises(PublishError, match="has been deleted"):
        publish(trained, "tester/refused")
    assert not HfApi().repo_exists("tester/refused")


def _measured(folder: Path) -> Path:
    """The folder, with its report changed to refer to the weights in it."""
    report = json.loads((folder / REPORT_FILE).read_text())
    (folder / REPORT_FILE).write_text(
        json.dumps({**report, "sha256": hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()})
    )
    return folder


def test_a_revision_pins_what_is_loaded(hub, trained: Path, tmp_path: Path, face_image: Image.Image) -> None:
    first = publish(trained, "tester/pinned")
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    model = EmotionClassifier.from_pretrained(trained)
    model.network.state_dict()[
        "classifier.3.bias"
        if "classifier.3.bias" in model.network.state_dict()
        else list(model.network.state_dict())[-1]
    ].add_(1.5)
    model.half()._save_pretrained(other)
    with pytest.raises(CheckpointError, match=r"model\.onnx of .* was made of weights"):
        publish(_measured(other), "tester/pinned")
    for name in ("model.onnx", "model_int8.onnx"):
        (other / name).unlink()
    second = publish(other, "tester/pinned")
    assert second.commit != first.commit

    def weights(revision: str | None) -> bytes:
        return Path(hf_hub_download("tester/pinned", WEIGHTS_FILE, revision=revision)).read_bytes()

    assert (
        weights(first.commit)
        == (trained / WEIGHTS_FILE).read_bytes()
        != (other / WEIGHTS_FILE).read_bytes()
        == weights(None)
    )
    for revision, source in ((first.commit, trained), (None, other)):
        mine = EmotionPredictor.from_pretrained("tester/pinned", revision).predict(face_image, whole=True)[0]
        assert_same_probs(mine.probs, EmotionPredictor.from_pretrained(source).predict(face_image, whole=True)[0].probs)


def test_the_figure_counts_every_parameter_once(trained: Path, tmp_path: Path) -> None:
    for model in (
        EmotionClassifier.from_pretrained(trained),
        EmotionClassifier("enhanced_cnn48"),
        EmotionClassifier("mobilenetv2_224"),
    ):
        model.eval()
        found = blocks(model)
        assert sum(block.parameters for block in found) == model.num_parameters
        assert (found[-1].side, found[-1].channels) == (None, 7)
        assert not any(module._forward_hooks for module in model.modules())
        assert (
            draw_architecture(model, tmp_path / "a.png").read_bytes()
            == draw_architecture(model, tmp_path / "b.png").read_bytes()
        )
        assert min(Image.open(tmp_path / "a.png").size) > 300


# the Space


def space(*more: str):
    return main(["space", "--repo", "tester/demo", *more])


def test_a_space_has_the_demo_and_model_ids_as_variables(hub, tmp_path: Path) -> None:
    done = space("--native48", "tester/small@v1", "--models", "tester/third")
    assert done.changed
    repo = hub.repo("tester/demo", "space")
    assert {key: row["value"] if isinstance(row, dict) else row for key, row in repo.variables.items()} == {
        "EMOTION_HUB_NATIVE48": "tester/small@v1",
        "EMOTION_HUB_MODELS": "tester/third",
    }
    files = hub.files("tester/demo", "space")
    assert {
        "app.py",
        "requirements.txt",
        "README.md",
        "emotion_hub/ui/styles/page.css",
        "emotion_hub/checkpoints/native48/model.safetensors",
    } <= files.keys()
    assert not [
        name for name in files if name.startswith(("tests/", "training/", "benchmarks/")) or "__pycache__" in name
    ]
    (tmp_path / "README.md").write_bytes(files["README.md"])
    card = RepoCard.load(tmp_path / "README.md", repo_type="space")
    assert (card.data["sdk"], card.data["app_file"]) == ("gradio", "app.py")
    assert {"tester/small", "tester/third"} <= set(card.data["models"])
    assert not space("--native48", "tester/small@v1", "--models", "tester/third").changed


def test_a_failed_upload_restores_a_spaces_variables(hub) -> None:
    space("--native48", "tester/small")
    hub.fail(r"/api/spaces/tester/demo/commit/", status=500, times=50)
    with pytest.raises(PublishError, match="the repository is unchanged"):
        space("--native48", "tester/other", "--upscale224", "tester/large")
    now = HfApi().get_space_variables("tester/demo")
    assert {key: value.value for key, value in now.items()} == {"EMOTION_HUB_NATIVE48": "tester/small"}


@pytest.mark.slow
def test_the_app_runs_from_the_spaces_folder_alone(tmp_path: Path) -> None:
    out = space("--dry-run", str(tmp_path / "space"))
    code = (
        "import app, emotion_hub, sys; print(emotion_hub.__file__); from emotion_hub.ui import build_demo; build_demo()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=True, env=_without_path()
    )
    assert done.stdout.splitlines()[0].startswith(str(out))


def _without_path() -> dict[str, str]:
    import os

    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@pytest.mark.parametrize("value", ["a/b/c", "no owner", "./folder", "small", "a/b,c/d"])
def test_a_space_accepts_only_hub_ids(value: str) -> None:
    with pytest.raises(InputError, match="is no Hub id"):
        space_variables(native48=value)


def test_the_onnx_file_has_the_checkpoints_preprocessing(trained: Path, tmp_path: Path) -> None:
    out = publish(trained, "tester/x", "--dry-run", str(tmp_path / "out"))
    assert (
        EmotionPredictor.from_onnx(out / "model.onnx").preprocessor.config
        == EmotionClassifier.from_pretrained(trained).config.preprocess
    )


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
@pytest.mark.parametrize(
    ("origin", "installed"),
    [
        ("https://example.org/us/emotion_hub.git", "git+https://example.org/us/emotion_hub.git"),
        ("https://me:secret@example.org/us/emotion_hub", "git+https://example.org/us/emotion_hub"),
        ("git@example.org:us/emotion_hub.git", "git+ssh://git@example.org/us/emotion_hub.git"),
    ],
)
def test_the_package_requirement_is_the_checkouts_git_address(monkeypatch, tmp_path, origin, installed) -> None:
    for line in (["init", "-q"], ["remote", "add", "origin", origin]):
        subprocess.run(["git", *line], cwd=tmp_path, check=True)
    monkeypatch.setattr(training.publishing.model_folder, "ROOT", tmp_path)
    assert training.publishing.model_folder.package_of_origin() == f"emotion-hub[serve] @ {installed}"


@needs_git
def test_a_checkout_without_a_git_address_is_an_error(monkeypatch, tmp_path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(training.publishing.model_folder, "ROOT", tmp_path)
    with pytest.raises(InputError, match=r"no Git address to install emotion_hub from; give one.*--package"):
        training.publishing.model_folder.package_of_origin()
