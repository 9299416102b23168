"""Push a folder in one commit, or change nothing, with the Hub client."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download

from emotion_hub.errors import PublishError
from training.publishing.repository import push_folder

REPO = "tester/faces"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "figures").mkdir(parents=True)
    (made / "README.md").write_text("---\nlicense: mit\n---\n# faces\n")
    (made / "figures" / "a.txt").write_text("a figure")
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 200)
    return made


def files() -> set[str]:
    return set(HfApi().list_repo_files(REPO)) - {".gitattributes"}


def test_the_repository_holds_exactly_the_folder_after_one_commit(hub, folder: Path) -> None:
    first = push_folder(folder, REPO, private=True)
    assert files() == {"README.md", "figures/a.txt", "model.safetensors"}
    assert HfApi().model_info(REPO).private
    assert first.changed
    assert first.commit == HfApi().model_info(REPO).sha
    (folder / "figures" / "a.txt").unlink()
    (folder / "new.txt").write_text("new")
    second = push_folder(folder, REPO)
    assert files() == {"README.md", "new.txt", "model.safetensors"}
    assert second.commit != first.commit
    commits = [c.commit_id for c in HfApi().list_repo_commits(REPO)]
    assert commits[:2] == [second.commit, first.commit]
    old = hf_hub_download(REPO, "figures/a.txt", revision=first.commit)
    assert Path(old).read_text() == "a figure"


def test_publishing_twice_without_a_change_makes_no_commit(hub, folder: Path) -> None:
    first = push_folder(folder, REPO)
    again = push_folder(folder, REPO)
    assert (again.commit, again.changed) == (first.commit, False)
    assert HfApi().model_info(REPO).sha == first.commit


def test_a_failed_upload_leaves_no_incomplete_repository(hub, folder: Path) -> None:
    hub.fail(r"/api/models/tester/faces/commit/", status=500, times=50)
    with pytest.raises(
        PublishError,
        match=r"tester/faces: the Hub did not accept the upload .*; the repository that was created has been deleted",
    ):
        push_folder(folder, REPO)
    assert not HfApi().repo_exists(REPO)


def test_a_failed_change_leaves_the_repository_unchanged(hub, folder: Path) -> None:
    first = push_folder(folder, REPO)
    (folder / "figures" / "a.txt").write_text("changed")
    hub.fail(r"/api/models/tester/faces/commit/", status=500, times=50)
    with pytest.raises(PublishError, match="the repository is unchanged"):
        push_folder(folder, REPO)
    assert HfApi().model_info(REPO).sha == first.commit


def test_a_card_that_the_hub_rejects_is_an_error(hub, folder: Path) -> None:
    with pytest.raises(PublishError, match=r"did not accept the upload .*\"sdk\" is required.*has been deleted"):
        push_folder(folder, REPO, kind="space", space_sdk="gradio")
    assert not HfApi().repo_exists(REPO, repo_type="space")


def test_a_repository_that_cannot_be_deleted_is_named(hub, folder: Path, monkeypatch) -> None:
    hub.fail(r"/api/models/tester/faces/commit/", status=500, times=50)
    monkeypatch.setattr(HfApi, "delete_repo", lambda *_, **__: (_ for _ in ()).throw(OSError("the line is dead")))
    with pytest.raises(PublishError, match="may still exist, empty: delete it"):
        push_folder(folder, REPO)
    assert HfApi().repo_exists(REPO)


@pytest.mark.parametrize("how", ["pull request", "before they were read"])
def test_unchanged_variables_are_not_restored(hub, folder: Path, how: str, monkeypatch) -> None:
    (folder / "README.md").write_text("---\nsdk: gradio\n---\n# faces\n")
    push_folder(folder, REPO, kind="space", space_sdk="gradio", variables={"MODEL": "live"})
    (folder / "figures" / "a.txt").write_text("changed")
    hub.fail(r"/api/spaces/tester/faces/commit/", status=500, times=50)
    if how != "pull request":
        monkeypatch.setattr(HfApi, "repo_exists", lambda *_, **__: (_ for _ in ()).throw(OSError("the line is dead")))
    with pytest.raises(PublishError, match="the repository is unchanged"):
        push_folder(folder, REPO, kind="space", variables={"MODEL": "new"}, create_pr=how == "pull request")
    assert {key: value.value for key, value in HfApi().get_space_variables(REPO).items()} == {"MODEL": "live"}


def test_a_read_only_token_cannot_publish(hub, folder: Path) -> None:
    from tests.fakes.hub_server import READ_TOKEN

    with pytest.raises(PublishError, match="token's permissions"):
        push_folder(folder, REPO, token=READ_TOKEN)
    assert not HfApi().repo_exists(REPO)


def test_a_pull_request_does_not_change_main(hub, folder: Path) -> None:
    with pytest.raises(PublishError, match="publish without --create-pr first"):
        push_folder(folder, REPO, create_pr=True)
    first = push_folder(folder, REPO)
    (folder / "figures" / "a.txt").write_text("changed")
    proposed = push_folder(folder, REPO, create_pr=True)
    assert proposed.pull_request
    assert HfApi().model_info(REPO).sha == first.commit


def test_invalid_arguments_are_rejected(hub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PublishError, match="0 files in"):
        push_folder(tmp_path / "empty", REPO)
    with pytest.raises(PublishError, match="one of model, dataset, space"):
        push_folder(folder, REPO, kind="bucket")
    with pytest.raises(PublishError, match="no repository id"):
        push_folder(folder, "a/b/c")
