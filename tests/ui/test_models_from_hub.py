"""Hub models in the demo: choices, downloads, fallbacks, model cards."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from huggingface_hub import constants
from PIL import Image

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE, checkpoint_summary, embedded_checkpoints
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui import build_demo, choices, downloads, models
from emotion_hub.ui.choices import (
    FOLDERS_VARIABLE,
    MORE_VARIABLE,
    ROLE_VARIABLES,
    ROLES,
    embedded_default,
    visitor_choice,
)
from emotion_hub.ui.compare import compare_html, compare_json
from emotion_hub.ui.explain import BOTH, NOTHING, PREDICTED, explain_json, explain_stream
from emotion_hub.ui.explain_tab import _labels
from emotion_hub.ui.model_card import card_html, model_facts, safe_markdown
from emotion_hub.ui.models import MAX_MODELS, ModelPool, shared_pool
from emotion_hub.ui.picker import _status
from emotion_hub.ui.predict import predict_html, predict_json
from tests.fakes.hub_models import checkpoint_files, put
from tests.tolerances import PROBS, assert_same_probs

ID = "someone/faces"
CARD = """---
license: mit
model-index:
- name: faces
  results:
  - task: {type: image-classification}
    dataset: {type: fer2013, name: FER2013}
    metrics:
    - {type: f1, value: 0.5}
    - {type: accuracy, value: 0.6123}
---
# Faces of someone
"""


@pytest.fixture(autouse=True)
def new_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No operator's models, and a new pool for every test."""
    for variable in (*ROLE_VARIABLES.values(), MORE_VARIABLE, FOLDERS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    shared_pool.cache_clear()
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("model"):
            thread.join(30)
    shared_pool.cache_clear()


@pytest.fixture
def face(face_image: Image.Image, tmp_path: Path) -> str:
    path = tmp_path / "face.png"
    face_image.convert("L").resize((48, 48)).save(path)
    return str(path)


def note_of(html: str) -> str:
    """The note at the start of a page's answer; empty where there is none."""
    return html.split("</div>")[0] if html.startswith('<div class="eh-note') else ""


# --- choices


def test_a_text_is_an_embedded_name_or_a_hub_id_or_is_refused_with_the_valid_forms() -> None:
    assert visitor_choice("native48").folder == embedded_checkpoints()["native48"]
    assert (visitor_choice(" a/b ").repo_id, visitor_choice("a/b").revision) == ("a/b", None)
    assert visitor_choice("a/b@refs/pr/1").revision == "refs/pr/1"
    for text in ("", "nothing", "a/b@", "a/b@-x", "-a/b", "a/b c", "http://x/y", "a/b\nc", "ä/b", "x" * 400):
        with pytest.raises((InputError, CheckpointError), match=r"owner/name|EMOTION_HUB_MODELS_DIR"):
            visitor_choice(text)


def test_every_embedded_checkpoint_has_a_role_and_every_role_a_default() -> None:
    assert {choices.embedded_role(name) for name in embedded_checkpoints()} == set(ROLES)
    assert [embedded_default(role) for role in ROLES] == ["native48", "upscale224"]
    assert set(ModelPool().names()) == set(embedded_checkpoints())


def test_a_folder_in_the_working_directory_is_never_used_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Any
) -> None:
    shutil.copytree(embedded_checkpoints()["native48"], tmp_path / "work" / "someone" / "faces")
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(CheckpointError, match="no public model someone/faces"):
        ModelPool().get(ID, 30)


# --- folders


def test_visitors_cannot_use_folders_unless_the_operator_opened_a_directory(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(embedded_checkpoints()["native48"], folder)
    messages = set()
    for text in (str(folder), "/nowhere/at/all", "./mine", "~/mine", "../x", "/etc/passwd"):
        with pytest.raises(CheckpointError, match="EMOTION_HUB_MODELS_DIR") as caught:
            visitor_choice(text)
        messages.add(str(caught.value))
    assert len(messages) == 1, "the refusal does not reveal what exists"


def test_visitors_can_use_folders_inside_the_open_directory_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face: str
) -> None:
    opened = tmp_path / "models"
    for name in ("models/mine", "secret", "models-too/x"):
        shutil.copytree(embedded_checkpoints()["native48"], tmp_path / name)
    (opened / "link").symlink_to(tmp_path / "secret")
    (opened / "empty").mkdir()
    monkeypatch.setenv(FOLDERS_VARIABLE, str(opened))
    assert "./mine" in ModelPool().names()
    assert "./empty" not in ModelPool().names()
    expected = EmotionPredictor.from_pretrained("native48").predict(face)[0].probs
    for text in ("./mine", str(opened / "mine")):
        assert_same_probs(shared_pool().get(text, 30).predictor.predict(face)[0].probs, expected)
    outside = [
        str(tmp_path / "secret"),
        "./../secret",
        "./link",
        "../models-too/x",
        str(tmp_path / "not-there"),
        "/etc",
    ]
    for text in outside:
        with pytest.raises(CheckpointError, match="is not inside the directory that EMOTION_HUB_MODELS_DIR names"):
            visitor_choice(text)
    with pytest.raises(CheckpointError, match=r"no folder './none'.*it has \./link, \./mine"):
        visitor_choice("./none")
    with pytest.raises(CheckpointError, match=r"'\./empty' has no config\.json") as caught:
        shared_pool().get("./empty", 30)
    assert str(tmp_path) not in str(caught.value), "pages do not show where the server keeps its files"


# --- visitors' models from the Hub


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
        "<h1>Faces of someone</h1>",
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


def test_a_failed_load_is_repeated_only_after_a_pause(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ModelPool()
    with pytest.raises(CheckpointError):
        pool.get(ID, 30)
    put(hub, ID, checkpoint_files())
    requests = len(hub.log)
    for _ in range(5):
        assert pool.request(ID).problem
    assert len(hub.log) == requests
    monkeypatch.setattr(models, "RETRY_AFTER", 0.0)
    assert pool.get(ID, 30).name == ID


def test_predictions_do_not_wait_for_a_load_and_the_page_shows_its_progress(hub: Any, face: str) -> None:
    put(hub, ID, checkpoint_files())
    hub.delay("^/cdn/", 2)
    predict_html(face, "native48", True)
    started = time.monotonic()
    html, faces = predict_html(face, ID, True)
    assert time.monotonic() - started < 1.8
    assert faces[0]["model"] == "native48"
    assert f"{ID} is still loading" in note_of(html)
    with pytest.raises(CheckpointError, match=r"is still loading.*try again"):
        shared_pool().get(ID, 0.1)
    for _ in range(50):
        card, pending = _status(ID, None)
        if "downloading 6.3 MB" in card:
            break
        time.sleep(0.05)
    assert pending
    assert "downloading 6.3 MB" in card
    shared_pool().get(ID, 30)
    assert note_of(predict_html(face, ID, True)[0]) == ""
    assert not _status(ID, None)[1]


def test_a_load_that_takes_too_long_is_abandoned_and_the_next_one_runs(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LOAD_TIMEOUT", 0.5)
    over = threading.Event()
    real = models.load

    def load(choice: Any, *rest: Any) -> Any:
        if choice.repo_id == "a/slow":
            over.wait(20)
        return real(choice, *rest)

    monkeypatch.setattr(models, "load", load)
    put(hub, ID, checkpoint_files())
    pool = ModelPool()
    with pytest.raises(CheckpointError, match="took longer than"):
        pool.get("a/slow", 10)
    monkeypatch.setattr(models, "LOAD_TIMEOUT", 30)
    pool.get(ID, 30)
    assert "took longer than" in pool.request("a/slow").problem
    over.set()
    for thread in pool._abandoned:
        thread.join(20)
    assert "took longer than" in pool.request("a/slow").problem, "an abandoned load does not become available"


def test_no_further_loads_start_while_too_many_abandoned_loads_run(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    started = []
    monkeypatch.setattr(models, "LOAD_TIMEOUT", 0.05)
    monkeypatch.setattr(models, "load", lambda choice, *_: (started.append(choice.name), over.wait(20)))
    pool = ModelPool()
    for name in ("a/one", "a/two", "a/three"):
        with pytest.raises(CheckpointError):
            pool.get(name, 5)
    assert started == ["a/one", "a/two"]
    assert "earlier downloads still hang" in pool.request("a/three").problem
    over.set()


def test_loads_run_one_after_another_and_the_queue_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, gate = [0], [0], threading.Event()

    def load(choice: Any, *_: Any) -> Any:
        running[0] += 1
        most[0] = max(most[0], running[0])
        gate.wait(20)
        running[0] -= 1
        raise CheckpointError("none")

    monkeypatch.setattr(models, "load", load)
    pool = ModelPool()
    for i in range(models.MAX_QUEUE + 1):
        assert pool.request(f"a/m{i}").pending
        for _ in range(1000 if i == 0 else 0):  # the first one leaves the queue before the others fill it
            if running[0]:
                break
            time.sleep(0.02)
    assert "other models wait" in pool.request("a/late").problem
    gate.set()
    with pytest.raises(CheckpointError, match="none"):
        pool.get(f"a/m{models.MAX_QUEUE}", 20)
    assert most[0] == 1


def test_the_least_recently_requested_visitors_model_is_evicted(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(hub, "tester/own", checkpoint_files())
    monkeypatch.setenv(MORE_VARIABLE, "tester/own")
    pool = ModelPool()
    pool.get("tester/own", 30)
    names = [f"a/m{i}" for i in range(MAX_MODELS + 1)]
    for name in names:
        put(hub, name, checkpoint_files())
    for name in names[:MAX_MODELS]:
        pool.get(name, 30)
    pool.request(names[0])
    pool.get(names[MAX_MODELS], 30)
    ready = {name for name, status in pool._states.items() if status.model}
    assert ready == {"tester/own", *names} - {names[1]}


def test_the_oldest_downloads_are_deleted_beyond_the_disk_limit(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MAX_DISK", 14_000_000)  # two of the 6.3 MB models
    pool = ModelPool()
    for name in ("a/one", "a/two", "a/three"):
        put(hub, name, checkpoint_files())
        pool.get(name, 30)
    kept = {folder.name for folder in downloads.public_cache().glob("models--*")}
    assert kept == {"models--a--two", "models--a--three"}
    assert not list(Path(constants.HF_HUB_CACHE).glob("models--*")), "the operator's cache has no visitors' files"


# --- the operator's models


def test_the_operators_models_are_the_defaults_and_may_be_private_or_any_folder(
    hub: Any, tmp_path: Path, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = put(hub, "tester/small", checkpoint_files(seed=3), private=True)
    folder = tmp_path / "elsewhere" / "large"
    shutil.copytree(embedded_checkpoints()["upscale224"], folder)
    monkeypatch.setenv(ROLE_VARIABLES["native48"], f"tester/small@{commit}")
    monkeypatch.setenv(ROLE_VARIABLES["upscale224"], str(folder))
    monkeypatch.setenv(MORE_VARIABLE, "native48, tester/more ,")
    pool = shared_pool()
    assert pool.names()[:4] == [f"tester/small@{commit}", "large", "native48", "tester/more"]
    assert [pool.default(role) for role in ROLES] == [f"tester/small@{commit}", "large"]
    pool.start()
    assert pool.get(f"tester/small@{commit}", 30).revision == commit
    pool.get("large", 30)
    page, faces = compare_html(face, "lanczos", True)
    assert [faces[0][role]["model"] for role in ROLES] == [f"tester/small@{commit}", "large"]
    assert str(tmp_path / "elsewhere") not in page + "".join(_status(name, None)[0] for name in pool.names()[:3])
    assert compare_json(face, "lanczos", True)[0]["native48"]["model"] == f"tester/small@{commit}"
    assert predict_html(face, None, True)[1][0]["model"] == f"tester/small@{commit}"


@pytest.mark.parametrize(
    "how", [pytest.param("slow", marks=pytest.mark.slow), "down", "broken", "typo", "other side", "two of a name"]
)
def test_a_model_variable_that_cannot_be_used_delays_nothing_and_is_named(
    how: str, hub: Any, tmp_path: Path, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = checkpoint_files("mobilenetv2_224") if how == "other side" else checkpoint_files()
    if how == "broken":
        files[CONFIG_FILE] = b"{"
    put(hub, ID, files)
    value, words = (
        ID,
        {
            "slow": "still loading",
            "down": "cannot be reached",
            "broken": "not JSON",
            "other side": "its input is 224 pixels",
        }.get(how, ""),
    )
    if how == "slow":
        hub.delay("/resolve/", 8)
    if how == "down":
        hub.stop()
    if how == "typo":
        value, words = "/srv/private/nowhere", "it is no folder, no embedded checkpoint"
    if how == "two of a name":
        for parent in ("x", "y"):
            shutil.copytree(embedded_checkpoints()["native48"], tmp_path / parent / "mine")
        value, words = str(tmp_path / "x" / "mine"), "name two models"
        monkeypatch.setenv(MORE_VARIABLE, str(tmp_path / "y" / "mine"))
    started = time.monotonic()
    build_demo()
    usual = time.monotonic() - started
    monkeypatch.setenv(ROLE_VARIABLES["native48"], value)
    shared_pool.cache_clear()
    started = time.monotonic()
    build_demo()
    assert time.monotonic() - started < usual + 3, "the Hub's answer takes 8 seconds"
    if how != "slow":
        with pytest.raises(CheckpointError):
            shared_pool().get(shared_pool().default("native48"), 60)
    html, faces = predict_html(face, None, True)
    note = note_of(html)
    assert words in note
    assert faces[0]["model"] == "native48"
    assert "native48 is used" in note
    assert how == "slow" or "EMOTION_HUB_NATIVE48" in note
    assert "/srv/private" not in html
    page, pairs = compare_html(face, "lanczos", True)
    assert words in note_of(page)
    assert pairs[0]["native48"]["model"] == "native48"
    if how == "slow":
        shared_pool().get(ID, 30)
        assert predict_html(face, None, True)[1][0]["model"] == ID, "it is used as soon as it is loaded"


# --- the tabs


def test_the_compare_tab_takes_a_model_per_side_and_refuses_one_of_the_other_side(hub: Any, face: str) -> None:
    put(hub, ID, checkpoint_files(seed=4))
    shared_pool().get(ID, 30)
    page, pairs = compare_html(face, "lanczos", True, ID, "upscale224")
    assert (pairs[0]["native48"]["model"], note_of(page)) == (ID, "")
    assert ID in page
    page, pairs = compare_html(face, "lanczos", True, "native48", ID)
    assert pairs[0]["upscale224"]["model"] == "upscale224"
    assert f"The input of {ID} is 48 pixels, so it belongs on the other side. upscale224 is used here." in note_of(page)


def test_the_explain_tab_takes_any_model_and_both_defaults(hub: Any, face: str) -> None:
    put(hub, ID, checkpoint_files(seed=5))
    shared_pool().get(ID, 30)
    rest = (PREDICTED, NOTHING, 100, False, True)
    last = [a for _, a in explain_stream(face, ["gradcam"], ID, *rest) if isinstance(a, str)][-1]
    assert f'data-model="{ID}"' in last
    assert 'class="eh-key eh-native48"' in last
    both = [a for _, a in explain_stream(face, ["gradcam"], BOTH, *rest) if isinstance(a, str)][-1]
    assert both.count('class="eh-card eh-why"') == 2
    missing = [a for _, a in explain_stream(face, ["gradcam"], "a/none", *rest) if isinstance(a, str)][-1]
    assert "a/none" in note_of(missing)
    assert 'data-model="native48"' in missing
    assert explain_json(face, "gradcam", ID, PREDICTED, NOTHING, 100, True)["model"] == ID
    with pytest.raises(gr.Error, match="no public model a/none"):
        explain_json(face, "gradcam", "a/none", PREDICTED, NOTHING, 100, True)


def test_the_label_fields_offer_the_labels_of_the_model(hub: Any) -> None:
    put(hub, ID, checkpoint_files(labels=("bored", "happy")))
    shared_pool().get(ID, 30)
    target, versus = _labels(ID, "sad", "happy")
    assert (target["choices"], target["value"]) == ([PREDICTED, "bored", "happy"], PREDICTED)
    assert (versus["choices"], versus["value"]) == ([NOTHING, "bored", "happy"], "happy")


def test_every_picker_takes_custom_text_and_starts_with_its_roles_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(embedded_checkpoints()["native48"], folder)
    monkeypatch.setenv(ROLE_VARIABLES["native48"], str(folder))
    demo = build_demo()
    pickers = {b.elem_id: b for b in demo.blocks.values() if isinstance(b, gr.Dropdown) and b.allow_custom_value}
    assert {key: picker.value for key, picker in pickers.items()} == {
        "predict-model": "mine",
        "compare-native48": "mine",
        "compare-upscale224": "upscale224",
        "explain-model": BOTH,
    }
    for picker in pickers.values():
        assert set(embedded_checkpoints()) <= {value for _, value in picker.choices}
    assert "mine" not in {value for _, value in pickers["compare-upscale224"].choices}


# --- model cards

HOSTILE = """# Card
<script>alert(1)</script>
<img src=x onerror=alert(1)>
<div style="position:fixed;top:0">over the page</div>

![tracks you](https://evil.example/pixel.png)
![ref][r]

[js](javascript:alert(1)) [data](data:text/html;base64,PHNjcmlwdD4=) [vb](vbscript:x)
[file](file:///etc/passwd) <javascript:alert(1)>
[web](https://example.org/"onmouseover="alert(1))
${alert(1)} {{constructor}}

`<b>code</b>`

[r]: https://evil.example/pixel.png
"""


def test_an_untrusted_card_becomes_text_and_links_to_web_pages() -> None:
    from html.parser import HTMLParser

    tags: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Reader().feed(safe_markdown(HOSTILE))
    assert {tag for tag, _ in tags} <= {"div", "h1", "p", "a", "code"}
    assert [attrs for tag, attrs in tags if tag == "div"] == [{"class": "eh-markdown"}]
    links = [attrs for tag, attrs in tags if tag == "a"]
    assert links
    for attrs in links:
        assert set(attrs) == {"href", "target", "rel"}
        assert attrs["href"].startswith("https://")
        assert attrs["rel"] == "noopener noreferrer nofollow"
    assert "&lt;script&gt;" in safe_markdown(HOSTILE)


def test_a_card_without_markdown_it_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    assert "<pre># Card\n&lt;script&gt;" in safe_markdown(HOSTILE)


def test_long_and_deeply_nested_cards_are_truncated_and_rendered_within_seconds() -> None:
    started = time.monotonic()
    assert "The rest is not shown here." in safe_markdown("> " * 100_000)
    safe_markdown("[" * 100_000)
    safe_markdown("*a " * 60_000)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "head",
    [
        "model-index: 3",
        "model-index: [{results: [{metrics: [{type: accuracy, value: nan}]}]}]",
        "a: [",
        "model-index: []",
        "- x",
        "!!python/object:os.system x",
    ],
)
def test_invalid_metadata_of_a_card_give_no_accuracy(head: str, hub: Any) -> None:
    put(hub, ID, checkpoint_files(README_md=f"---\n{head}\n---\n# Hi\n"))
    assert model_facts(ModelPool().get(ID, 30))["accuracy"] == "not measured yet"


def test_measured_figures_come_from_the_report_of_the_same_weights(hub: Any) -> None:
    files = checkpoint_files(README_md=CARD)
    report = {
        "accuracy": 0.7001,
        "n": 3589,
        "split": "test",
        "labels": list(EmotionPredictor.from_pretrained("native48").labels.labels),
    }
    for name, sha in (("a/right", hashlib.sha256(files[WEIGHTS_FILE]).hexdigest()), ("a/other", "0" * 64)):
        put(hub, name, {**files, "report.json": json.dumps({**report, "sha256": sha}).encode()})
    pool = ModelPool()
    assert model_facts(pool.get("a/right", 30))["accuracy"] == "70.01% (test, n = 3,589)"
    assert model_facts(pool.get("a/other", 30))["accuracy"] == "61.23% (according to its card)"
    for name in embedded_checkpoints():
        measured = checkpoint_summary(name)["accuracy"]
        expected = "not measured" if measured is None else f"{measured:.2%} (test"
        assert model_facts(pool.get(name))["accuracy"].startswith(expected)


def test_a_report_of_the_same_weights_in_another_label_order_is_refused(hub: Any) -> None:
    files = checkpoint_files()
    report = {
        "sha256": hashlib.sha256(files[WEIGHTS_FILE]).hexdigest(),
        "labels": sorted(json.loads(files[CONFIG_FILE])["labels"]),
    }
    put(hub, ID, {**files, "report.json": json.dumps(report).encode()})
    with pytest.raises(
        CheckpointError,
        match=r"report\.json measured these weights with labels \['angry', 'disgust', 'fear', 'happy', 'neutral'",
    ):
        ModelPool().get(ID, 30)


def test_names_on_the_page_are_escaped() -> None:
    status = ModelPool().request('<img src=x>"')
    assert "<img" not in card_html(status)
    html, _ = _status('<img src=x>"', None)
    assert "<img" not in html
