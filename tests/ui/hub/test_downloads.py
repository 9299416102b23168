"""Visitors' models from the Hub: revisions, limits, refusals, fallbacks."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
import pytest

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui import downloads
from emotion_hub.ui.models import ModelPool, shared_pool
from emotion_hub.ui.picker import _status
from emotion_hub.ui.predict import predict_html, predict_json
from tests.fakes.hub_cards import CARD, ID, note_of
from tests.fakes.hub_models import checkpoint_files, put
from tests.tolerances import PROBS, assert_same_probs


def test_a_hub_model_predicts_and_is_shown_with_its_card_and_commit(hub: Any, face: str) -> None:
    commit = put(hub, ID, checkpoint_files(README_md=CARD))
    model = shared_pool().get(ID, 30)
    assert (model.revision, model.network, model.role, model.name) == (commit, "emotion_cnn", "native48", ID)
    html, pending = _status(ID, None)
    assert not pending
    for part in (
        commit[:12],
        "emotion_cnn",
        f"{model.predictor.backend.num_parameters:,}",
        "48×48×1",
        "61.23% (according to its card)",
        "<h3>Faces of someone</h3>",
    ):
        assert part in html
    assert "license: mit" not in html
    page, faces = predict_html(face, ID, True)
    assert faces[0]["model"] == ID
    assert note_of(page) == ""
    assert_same_probs(predict_json(face, ID, True)[0]["probs"], faces[0]["probs"])


def test_a_revision_pins_the_weights(hub: Any, face: str) -> None:
    first = put(hub, ID, checkpoint_files(seed=1))
    second = put(hub, ID, checkpoint_files(seed=2))
    hub.repo(ID).refs["refs/tags/v1"] = first
    pool = ModelPool()
    found = {at: pool.get(f"{ID}@{at}" if at else ID, 30) for at in ("", first, "v1", second)}
    assert {at: model.revision for at, model in found.items()} == {
        "": second,
        first: first,
        "v1": first,
        second: second,
    }
    rows = [found[at].predictor.predict(face)[0].probs for at in (first, "v1", second)]
    assert_same_probs(rows[1], rows[0])
    assert max(abs(rows[2][label] - rows[0][label]) for label in rows[0]) > 10 * PROBS


def test_a_visitor_cannot_use_the_servers_token_or_the_files_downloaded_with_it(hub: Any) -> None:
    put(hub, "tester/secret", checkpoint_files(), private=True)
    # the operator's token can read it, so it is in the Hub's cache now
    EmotionPredictor.from_pretrained("tester/secret")
    before = len(hub.log)
    with pytest.raises(CheckpointError, match=r"no public model tester/secret \(401\)"):
        ModelPool().get("tester/secret", 30)
    requests = hub.log[before:]
    assert requests
    assert not [request for request in requests if "authorization" in request.headers]
    hub.fail("", 503, times=99)
    with pytest.raises(CheckpointError, match="cannot be reached"):
        ModelPool().get("tester/secret", 30)


def test_a_gated_repository_is_refused_by_name(hub: Any) -> None:
    put(hub, ID, checkpoint_files())
    hub.repo(ID).gated = "auto"
    with pytest.raises(CheckpointError, match=f"{ID} is gated"):
        ModelPool().get(ID, 30)
    assert not hub.seen("^/cdn/")


def test_weights_over_the_limit_are_not_downloaded(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(hub, ID, checkpoint_files())
    monkeypatch.setattr(downloads, "MAX_WEIGHTS", 10**6)
    with pytest.raises(CheckpointError, match=r"model\.safetensors of someone/faces has 6\.\d MB.*limit.*is 1\.0 MB"):
        ModelPool().get(ID, 30)
    assert not hub.seen("/resolve/")


@pytest.mark.parametrize(("excess", "downloaded"), [(0, True), (1, False)])
def test_a_card_up_to_the_limit_is_downloaded_and_a_longer_one_is_not(
    hub: Any, monkeypatch: pytest.MonkeyPatch, excess: int, downloaded: bool
) -> None:
    card = CARD + "A longer text. " * 500  # longer than the configuration, which has the same limit
    put(hub, ID, checkpoint_files(README_md=card))
    monkeypatch.setattr(downloads, "MAX_TEXT", len(card.encode()) - excess)
    ModelPool().get(ID, 30)
    assert bool(hub.seen("/README.md")) is downloaded


def test_a_configuration_of_gigabytes_beside_a_small_file_is_refused_before_memory_is_allocated(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emotion_hub.models import classifier

    files = checkpoint_files()
    config = json.loads(files[CONFIG_FILE])
    config |= {
        "model": "timm_224",
        "options": {"backbone": "vit_giant_patch14_224"},
        "preprocess": {**config["preprocess"], "size": 224, "channels": 3},
    }
    config["preprocess"] |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    put(hub, ID, {**files, CONFIG_FILE: json.dumps(config).encode()})
    monkeypatch.setattr(
        classifier, "create_model", lambda *_, **__: pytest.fail("a network of four gigabytes was built")
    )
    with pytest.raises(CheckpointError, match=r"a network of 1,0\d\d,\d\d\d,\d\d\d values.*do not belong together"):
        ModelPool().get(ID, 60)
    assert not hub.seen("^/cdn/")


def test_public_models_stay_usable_when_the_hub_is_unreachable(hub: Any, face: str) -> None:
    commit = put(hub, ID, checkpoint_files())
    before = ModelPool().get(ID, 30).predictor.predict(face)[0].probs
    hub.stop()
    after = ModelPool().get(ID, 60)
    assert after.revision == commit
    assert_same_probs(after.predictor.predict(face)[0].probs, before)


@pytest.mark.parametrize("how", ["down", "500", "private", "absent", "revision", "broken", "pickle", "cut"])
def test_a_model_that_cannot_be_loaded_is_named_and_the_embedded_model_is_used(
    how: str, hub: Any, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, name = checkpoint_files(), ID
    if how == "broken":
        files[WEIGHTS_FILE] = files[WEIGHTS_FILE][:-1]
    if how == "pickle":
        files["pytorch_model.bin"] = files.pop(WEIGHTS_FILE)
    if how != "absent":
        put(hub, ID, files, private=how == "private")
    if how == "down":
        hub.stop()
    if how == "500":
        hub.fail("", 500, times=99)
    if how == "cut":
        hub.cut("^/cdn/", after=0, times=99)
    if how == "revision":
        name = f"{ID}@nowhere"
    words = {
        "down": "cannot be reached",
        "500": "cannot be reached",
        "private": "no public model",
        "absent": "no public model",
        "revision": "no revision &#x27;nowhere&#x27;",
        "broken": "damaged",
        "pickle": "pickled weights are refused",
        "cut": "could not be downloaded",
    }[how]
    with pytest.raises(CheckpointError):
        shared_pool().get(name, 60)
    html, faces = predict_html(face, name, True)
    note = note_of(html)
    assert name in note
    assert words in note
    assert "native48 is used instead" in note
    assert 'role="alert"' in note
    assert_same_probs(
        faces[0]["probs"], EmotionPredictor.from_pretrained("native48").predict(face, whole=True)[0].probs
    )
    card, pending = _status(name, None)
    assert words in card
    assert not pending
    with pytest.raises(gr.Error, match=name):  # the API does not replace the model
        predict_json(face, name, True)
