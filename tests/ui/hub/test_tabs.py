"""Models in the tabs: operator's defaults, choices per tab, label fields."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from emotion_hub.checkpoints import CONFIG_FILE, embedded_checkpoints
from emotion_hub.errors import CheckpointError
from emotion_hub.ui import build_demo
from emotion_hub.ui.choices import MORE_VARIABLE, ROLE_VARIABLES, ROLES
from emotion_hub.ui.compare import compare_html, compare_json
from emotion_hub.ui.explain import BOTH, NOTHING, PREDICTED, explain_json, explain_stream
from emotion_hub.ui.explain_tab import _labels
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.picker import _status
from emotion_hub.ui.predict import predict_html
from tests.fakes.hub_cards import ID, note_of
from tests.fakes.hub_models import checkpoint_files, put


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
    monkeypatch.setenv(ROLE_VARIABLES["native48"], value)
    shared_pool.cache_clear()
    build_demo()
    assert how != "slow" or shared_pool().request(value).pending, "the page waited for the Hub"
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


# the tabs


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
    rest = (PREDICTED, NOTHING, 100, "none", True)
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
