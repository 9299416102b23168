"""Refused checkpoints: overflowing weights and oversized networks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emotion_hub import EmotionClassifier, EmotionPredictor
from emotion_hub.__main__ import main
from emotion_hub.backends import OnnxBackend
from emotion_hub.batch import predict_many
from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import CheckpointError, ConfigError, EmotionHubError
from emotion_hub.models import registry
from emotion_hub.onnx.external_data import copy_self_contained
from emotion_hub.results import Prediction
from emotion_hub.serve import EndpointHandler, create_app
from tests.fakes.api_server import LinearBackend, blank, photo, predictor, running

#: Largest duration of a refusal in seconds, without the import of torch.
LIMIT = 2.0


def _nested(depth: int) -> dict[str, Any]:
    return (
        {"model": "ensemble_native48", "options": {"members": [_nested(depth - 1)] * 2}}
        if depth
        else {"model": "emotion_cnn", "options": {}}
    )


def _huge(tensors: dict[str, torch.Tensor]) -> None:
    """Weights that are finite in every storage type and overflow after a few layers."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensor.fill_(60000 if name.endswith("weight") else 0.0)


def _negative(tensors: dict[str, torch.Tensor]) -> None:
    next(tensor for name, tensor in tensors.items() if name.endswith("running_var")).fill_(-1.0)


CONFIGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "tiny std": lambda c: c["preprocess"].update(std=[1e-300]),
    "huge std": lambda c: c["preprocess"].update(std=[1e300]),
    "huge mean": lambda c: c["preprocess"].update(mean=[1e300]),
    "mean of 400 digits": lambda c: c["preprocess"].update(mean=[10**400]),
    "nested ensembles": lambda c: c.update(_nested(12)),
    "endless list of members": lambda c: c.update(
        model="ensemble_native48", options={"members": [_nested(0)] * 100_000}
    ),
    "giant head": lambda c: c.update(model="timm_224", options={"hidden": 2_000_000_000}, preprocess=_upscale()),
    "head of 40 digits": lambda c: c.update(model="timm_224", options={"hidden": 10**40}, preprocess=_upscale()),
    "a million labels": lambda c: c.update(
        labels=[f"label{i}" for i in range(1_000_000)], id2label=None, label2id=None
    ),
}
WEIGHTS: dict[str, Callable[[dict[str, torch.Tensor]], None]] = {
    "weights of 60000": _huge,
    "negative variances": _negative,
}


def _upscale() -> dict[str, Any]:
    return json.loads((embedded_checkpoints()["upscale224"] / "config.json").read_text())["preprocess"]


def _checkpoint(folder: Path, name: str) -> Path:
    """A copy of the smallest embedded checkpoint with one change."""
    source = embedded_checkpoints()["emotion_cnn"]
    folder.mkdir()
    config, tensors = json.loads((source / "config.json").read_text()), load_file(source / "model.safetensors")
    if name in WEIGHTS:
        WEIGHTS[name](tensors)
    else:
        CONFIGS[name](config)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("name", [*CONFIGS, *WEIGHTS])
def test_a_useless_checkpoint_is_refused_in_time_without_a_large_allocation(name: str, tmp_path, monkeypatch) -> None:
    folder = _checkpoint(tmp_path / "bad", name)
    built = []
    real = registry.create_model

    def watched(*args: Any, **options: Any) -> torch.nn.Module:
        model = real(*args, **options)
        if not next(model.parameters()).is_meta:
            built.append(sum(p.numel() for p in model.parameters()))
        return model

    monkeypatch.setattr("emotion_hub.models.classifier.create_model", watched)
    started = time.monotonic()
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        EmotionClassifier.from_pretrained(folder)
    assert time.monotonic() - started < LIMIT
    assert max(built, default=0) < 2_000_000
    assert len(str(caught.value)) < 2000, "a message is for reading"


@pytest.mark.parametrize("name", ["tiny std", "mean of 400 digits", "nested ensembles", *WEIGHTS])
def test_every_entry_point_refuses_a_useless_checkpoint(name: str, tmp_path, capsys) -> None:
    folder = _checkpoint(tmp_path / "bad", name)
    picture = tmp_path / "a.png"
    picture.write_bytes(blank(60, 60))
    for call in (
        lambda: EmotionPredictor.from_pretrained(folder),
        lambda: EmotionPredictor.from_pretrained(folder, backend="onnx"),
        lambda: EndpointHandler(folder),
        lambda: predict_many(tmp_path, tmp_path / "out.parquet", models=[folder]),
    ):
        started = time.monotonic()
        with pytest.raises((CheckpointError, ConfigError)):
            call()
        assert time.monotonic() - started < LIMIT
    assert main(["predict", str(picture), "--model", str(folder), "--no-detect"]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ")
    assert "Traceback" not in output.err


def _onnx_copy(folder: Path, change: Callable[[Any, dict[str, Any]], None]) -> Path:
    onnx = pytest.importorskip("onnx")
    path = folder / "changed.onnx"
    copy_self_contained(embedded_checkpoints()["emotion_cnn"] / "model.onnx", path)
    model = onnx.load(str(path))
    properties = {p.key: p.value for p in model.metadata_props}
    record = json.loads(properties["emotion_hub"])
    change(model, record)
    onnx.helper.set_model_props(model, {**properties, "emotion_hub": json.dumps(record)})
    onnx.save(model, str(path))
    return path


def _scale_weights(model: Any, _: dict[str, Any]) -> None:
    import onnx

    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype in (np.float16, np.float32) and values.size > 256:
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, 60000), weight.name))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_scale_weights, id="weights of 60000"),
        pytest.param(lambda _, record: record["preprocess"].update(std=[1e-300]), id="tiny std"),
        pytest.param(lambda _, record: record["preprocess"].update(mean=[10**400]), id="mean of 400 digits"),
        pytest.param(lambda _, record: record["preprocess"].update(size=224), id="another size"),
        pytest.param(lambda _, record: record.update(labels=["a", "b"]), id="too few labels"),
        pytest.param(lambda _, record: record.update(parameters=float("inf")), id="infinitely many parameters"),
    ],
)
def test_a_useless_onnx_file_is_refused(change: Callable[[Any, dict[str, Any]], None], tmp_path) -> None:
    path = _onnx_copy(tmp_path, change)
    started = time.monotonic()
    with pytest.raises((CheckpointError, ConfigError)):
        OnnxBackend(path)
    assert time.monotonic() - started < LIMIT


# networks that fail for some faces only


class NaNBackend(LinearBackend):
    """Returns NaN for every image that is not blank; warm-up uses a blank one."""

    def logits(self, pixel_values: np.ndarray) -> np.ndarray:
        answer = super().logits(pixel_values)
        if pixel_values.std() > 0:
            answer[:, 3] = np.nan
        return answer


def _unsteady() -> EmotionPredictor:
    regular = predictor()
    return EmotionPredictor(
        NaNBackend(), regular.labels, regular.preprocessor, name="unsteady", detector=regular.detector
    )


def test_a_prediction_that_is_not_finite_raises() -> None:
    with pytest.raises(CheckpointError, match="not finite"):
        Prediction.of({"happy": float("nan"), "sad": 0.5}, "m", {}, bbox=(0, 0, 1, 1))
    with pytest.raises(EmotionHubError, match="not finite"):
        _unsteady().predict(photo())
    with pytest.raises(EmotionHubError, match="not finite"):
        EndpointHandler(predictor=_unsteady())({"inputs": photo()})


def test_over_http_a_prediction_that_is_not_finite_is_a_500_with_the_reason() -> None:
    with running(create_app({"unsteady": _unsteady()})) as client:
        for path, function in (("/predict", ""), ("/", ""), ("/", "sigmoid")):
            body = {
                "inputs": __import__("base64").b64encode(photo()).decode(),
                "parameters": {"function_to_apply": function or "softmax"},
            }
            answer = (
                client.post(path, json=body)
                if path == "/"
                else client.post(path, content=photo(), headers={"content-type": "image/png"})
            )
            assert (answer.status_code, "not finite" in answer.json()["error"]) == (500, True), answer.text
