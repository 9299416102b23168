"""Choices of models: embedded names, Hub ids, folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import CheckpointError, InputError
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.ui import choices
from emotion_hub.ui.choices import FOLDERS_VARIABLE, ROLES, embedded_default, visitor_choice
from emotion_hub.ui.models import ModelPool, shared_pool
from tests.fakes.hub_cards import ID
from tests.tolerances import assert_same_probs


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


# folders


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
