"""Local Hub: tests with huggingface_hub, datasets, transformers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    ModelCard,
    constants,
    get_session,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.fakes.hub_server import OTHER_TOKEN, READ_TOKEN
from tests.tolerances import assert_same_logits, assert_same_weights

REPO = "tester/model"
BIG = bytes(range(256)) * 1000
COMMIT, STORAGE = "/commit/", "^/cdn/"


@pytest.fixture
def api(hub):
    """A client of the local Hub, and an empty model repository."""
    client = HfApi()
    client.create_repo(REPO)
    return client


def add(api: HfApi, path: str = "a.txt", content: bytes = b"one", **options):
    return api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=REPO, **options)


def read(path: str = "a.txt", **options) -> bytes:
    with open(hf_hub_download(REPO, path, **options), "rb") as file:
        return file.read()


# repositories and tokens


def test_a_repository_is_created_once_and_deleted_once(hub):
    api = HfApi()
    assert api.whoami()["name"] == "tester"
    assert api.create_repo("model").repo_id == REPO
    assert api.create_repo("lab/data", repo_type="dataset", private=True).repo_type == "dataset"
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_repo(REPO)
    assert refused.value.response.status_code == 409
    assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    assert [m.id for m in api.list_models(author="tester")] == [REPO]
    assert list(HfApi(token=OTHER_TOKEN).list_datasets()) == []
    api.delete_repo(REPO)
    api.delete_repo(REPO, missing_ok=True)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(REPO)


@pytest.mark.parametrize(("id_", "token"), [("someone/model", None), (REPO, READ_TOKEN)])
def test_creating_a_repository_needs_write_access(hub, id_, token):
    with pytest.raises(HfHubHTTPError) as refused:
        HfApi().create_repo(id_, token=token)
    assert refused.value.response.status_code == 403
    assert hub.store.repos == {}


def test_a_private_repository_is_visible_to_its_owner_only(hub, api):
    add(api)
    api.update_repo_settings(REPO, private=True)
    assert read(token=READ_TOKEN) == b"one"
    assert api.model_info(REPO).private
    for token, status in ((False, 401), (OTHER_TOKEN, 404)):
        with pytest.raises(RepositoryNotFoundError) as refused:
            api.model_info(REPO, token=token)
        assert refused.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(REPO, ".gitattributes", token=token)


def test_an_unknown_token_is_reported_as_invalid(hub, api):
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as refused:
        api.model_info(REPO, token="hf_unknown")
    assert not isinstance(refused.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_unknown")


@pytest.mark.parametrize("token", [READ_TOKEN, OTHER_TOKEN])
def test_only_a_write_token_of_the_owner_changes_a_repository(hub, api, token):
    with pytest.raises(HfHubHTTPError, match="Forbidden") as refused:
        add(api, token=token)
    assert refused.value.response.status_code == 403
    assert hub.files(REPO) == {}


def test_a_gated_repository_lists_its_files_and_serves_none(hub, api):
    add(api)
    api.update_repo_settings(REPO, gated="auto")
    assert "a.txt" in api.list_repo_files(REPO, token=OTHER_TOKEN)
    for token in (False, OTHER_TOKEN):
        with pytest.raises(GatedRepoError):
            hf_hub_download(REPO, "a.txt", token=token)
    assert read() == b"one"


def test_missing_repositories_revisions_and_files_raise_different_errors(hub, api):
    for call in (api.model_info, api.list_repo_files, lambda id_: hf_hub_download(id_, "a.txt")):
        with pytest.raises(RepositoryNotFoundError):
            call("tester/absent")
    for call in (
        api.model_info,
        api.list_repo_files,
        lambda id_, revision: hf_hub_download(id_, "a.txt", revision=revision),
    ):
        with pytest.raises(RevisionNotFoundError):
            call(REPO, revision="absent")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(REPO, "absent.txt")
    assert (
        api.file_exists(REPO, "absent.txt"),
        api.repo_exists("tester/absent"),
        api.revision_exists(REPO, "absent"),
    ) == (False, False, False)


# uploads and downloads


def test_a_folder_is_uploaded_and_downloaded_unchanged(hub, api, tmp_path):
    source = tmp_path / "source"
    files = {
        "README.md": b"---\nlicense: mit\n---\n# Hello\n",
        "deep/er/\xfc b.txt": "grüß".encode(),
        "model.safetensors": b"small",
        "notes.txt": b"n" * 200_000,
    }
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    commit = api.upload_folder(repo_id=REPO, folder_path=source, commit_message="All of it")
    assert hub.files(REPO) == files
    large = {path for path, file in hub.repo(REPO).at().files.items() if file.sha256}
    assert large == {"model.safetensors", "notes.txt"}, "one by its suffix, one by its size"
    assert len(hub.seen(STORAGE, "PUT", 200)) == 2
    target = snapshot_download(REPO, local_dir=tmp_path / "target")
    assert {name: (tmp_path / "target" / name).read_bytes() for name in files} == files
    assert snapshot_download(REPO) != target
    assert api.model_info(REPO).sha == commit.oid
    sent = [r for r in hub.log if r.path.startswith("/cdn/")]
    assert sent, "large files are served by the other origin"
    assert not any("authorization" in r.headers for r in sent)
    assert {"127.0.0.1:" + hub.cdn.split(":")[-1]} == {r.headers["host"] for r in sent}


def test_the_tree_lists_files_folders_and_their_last_commits(hub, api):
    first = add(api, "top.txt")
    second = add(api, "folder/model.onnx", BIG)
    assert [e.path for e in api.list_repo_tree(REPO)] == ["folder", ".gitattributes", "top.txt"]
    assert [e.path for e in api.list_repo_tree(REPO, "folder", recursive=True)] == ["folder/model.onnx"]
    entries = {e.path: e for e in api.get_paths_info(REPO, ["top.txt", "folder/model.onnx", "absent"], expand=True)}
    assert {path: e.last_commit.oid for path, e in entries.items()} == {
        "top.txt": first.oid,
        "folder/model.onnx": second.oid,
    }
    assert (entries["folder/model.onnx"].lfs.size, entries["top.txt"].lfs) == (len(BIG), None)
    assert {s.rfilename: s.size for s in api.model_info(REPO, files_metadata=True).siblings}[
        "folder/model.onnx"
    ] == len(BIG)
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "absent"))


def test_a_long_tree_is_paginated(hub, api):
    api.create_commit(REPO, [CommitOperationAdd(f"{n}.txt", b"x") for n in range(7)], commit_message="Seven")
    hub.page = 3
    assert len(api.list_repo_files(REPO)) == 8
    assert len(hub.seen("/tree/main", "GET", 200)) == 3


def test_a_large_file_is_uploaded_in_parts_and_only_once(hub, api):
    hub.part_size = 100_000
    add(api, "weights.bin", BIG)
    assert [r.query for r in hub.seen(STORAGE, "PUT", 200)] == ["part=1", "part=2", "part=3"]
    assert read("weights.bin") == BIG
    add(api, "copy.bin", BIG)
    assert len(hub.seen(STORAGE, "PUT")) == 3, "the content is already on the Hub"
    assert hub.files(REPO)["copy.bin"] == BIG


def test_files_in_gitignore_are_not_uploaded(hub, api, tmp_path):
    for name, content in {".gitignore": "*.log\n", "run.log": "x", "kept.txt": "x"}.items():
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_text(content)
    api.upload_folder(repo_id=REPO, folder_path=tmp_path / "folder")
    assert set(hub.files(REPO)) == {".gitignore", "kept.txt"}


def test_a_download_supports_ranges_and_conditional_requests(hub, api):
    add(api, "a.txt", b"0123456789")
    add(api, "big.bin", BIG)
    for name, content in (("a.txt", b"0123456789"), ("big.bin", BIG)):
        url = hf_hub_url(REPO, name)
        whole = get_session().get(url)
        part = get_session().get(url, headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (
            206,
            content[2:6],
            f"bytes 2-5/{len(content)}",
        )
        assert get_session().get(url, headers={"Range": "bytes=-3"}).content == content[-3:]
        assert get_session().get(url, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
        assert get_session().get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    head = get_session().head(hf_hub_url(REPO, "big.bin"), follow_redirects=False)
    assert (head.status_code, head.headers["X-Linked-Size"]) == (302, str(len(BIG)))
    with HfFileSystem().open(f"{REPO}/big.bin") as file:
        file.seek(1000)
        assert file.read(8) == BIG[1000:1008]


# commits and revisions


def test_every_revision_serves_its_own_files(hub, api):
    first = add(api, content=b"one").oid
    api.create_tag(REPO, tag="v1")
    api.create_branch(REPO, branch="work/next")
    second = add(api, content=b"two").oid
    third = add(api, content=b"three", revision="work/next").oid
    contents = {revision: read(revision=revision) for revision in ("main", "v1", "work/next", first, first[:8], second)}
    assert contents == {
        "main": b"two",
        "v1": b"one",
        "work/next": b"three",
        first: b"one",
        first[:8]: b"one",
        second: b"two",
    }
    assert [c.commit_id for c in api.list_repo_commits(REPO, revision="work/next")][:2] == [third, first]
    refs = api.list_repo_refs(REPO)
    assert ({b.name: b.target_commit for b in refs.branches}, refs.tags[0].name) == (
        {"main": second, "work/next": third},
        "v1",
    )
    assert api.model_info(REPO, revision="v1").sha == first
    with pytest.raises(HfHubHTTPError, match="already exists"):
        api.create_tag(REPO, tag="v1")
    api.delete_tag(REPO, tag="v1")
    api.delete_branch(REPO, branch="work/next")
    assert (api.revision_exists(REPO, "v1"), api.revision_exists(REPO, "work/next")) == (False, False)


def test_a_commit_on_a_stale_parent_is_refused(hub, api):
    first = add(api).oid
    add(api, content=b"two", parent_commit=first[:7])
    with pytest.raises(HfHubHTTPError) as refused:
        add(api, content=b"three", parent_commit=first)
    assert refused.value.response.status_code == 412
    assert hub.files(REPO) == {"a.txt": b"two"}


def test_unchanged_content_makes_no_commit(hub, api):
    commit = [add(api).oid, add(api, "b.bin", BIG).oid]
    assert [add(api).oid, add(api, "b.bin", BIG).oid] == [commit[1], commit[1]]
    assert len(hub.seen(COMMIT, "POST")) == 2, "the client sent no further commit"
    lines = [
        {"key": "header", "value": {"summary": "again"}},
        {"key": "file", "value": {"path": "a.txt", "content": "b25l", "encoding": "base64"}},
    ]
    body = "\n".join(map(json.dumps, lines))
    answer = get_session().post(
        f"{hub.endpoint}/api/models/{REPO}/commit/main", content=body, headers=api._build_hf_headers()
    )
    assert answer.json()["commitOid"] == commit[1]
    assert len(hub.repo(REPO).commits) == 3


def test_a_commit_adds_and_deletes_at_once_or_not_at_all(hub, api):
    api.create_commit(REPO, [CommitOperationAdd(p, b"x") for p in ("a", "old/b", "old/c")], commit_message="Three")
    before = hub.repo(REPO).at().oid
    with pytest.raises(EntryNotFoundError):
        api.create_commit(
            REPO, [CommitOperationAdd("new", b"x"), CommitOperationDelete("absent")], commit_message="Half"
        )
    assert hub.repo(REPO).at().oid == before
    api.create_commit(REPO, [CommitOperationAdd("new", b"x"), CommitOperationDelete("old/")], commit_message="Whole")
    assert set(hub.files(REPO)) == {"a", "new"}


def test_a_pull_request_changes_main_when_it_is_merged(hub, api):
    add(api)
    proposed = add(api, "b.txt", b"two", create_pr=True, token=OTHER_TOKEN)
    assert (proposed.pr_revision, proposed.pr_num) == ("refs/pr/1", 1)
    assert (set(hub.files(REPO)), read("b.txt", revision="refs/pr/1")) == ({"a.txt"}, b"two")
    details = api.get_discussion_details(REPO, 1)
    assert (details.author, details.events[1].oid) == ("other", proposed.oid)
    assert [p.ref for p in api.list_repo_refs(REPO, include_pull_requests=True).pull_requests] == ["refs/pr/1"]
    with pytest.raises(HfHubHTTPError, match="Forbidden"):
        api.merge_pull_request(REPO, 1, token=OTHER_TOKEN)
    api.merge_pull_request(REPO, 1)
    assert set(hub.files(REPO)) == {"a.txt", "b.txt"}
    second = api.create_pull_request(REPO, title="More")
    add(api, "c.txt", revision=second.git_reference)
    assert (second.git_reference, set(hub.files(REPO, revision="refs/pr/2"))) == (
        "refs/pr/2",
        {"a.txt", "b.txt", "c.txt"},
    )


# injected faults


@pytest.mark.parametrize("name", ["a.txt", "big.bin"])
def test_an_interrupted_download_resumes_where_it_stopped(hub, api, monkeypatch, name):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    content = BIG if name == "big.bin" else b"0123456789" * 500
    add(api, name, content)
    where = STORAGE if name == "big.bin" else "/resolve/"
    hub.cut(where, after=3500, method="GET")
    hub.cut(where, after=500, method="GET")
    assert read(name) == content
    whole, *resumed = hub.seen(where, "GET")
    assert (whole.cut, "range" in whole.headers, [r.status for r in resumed]) == (True, False, [206, 206])
    assert resumed[0].headers["range"] == "bytes=3000-"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_transient_failures_are_retried(hub, api, status):
    hub.fail("/preupload/", status, times=2)
    hub.fail(STORAGE, status, method="PUT")
    hub.fail("/resolve/", status, method="HEAD")
    add(api, "big.bin", BIG)
    assert read("big.bin") == BIG
    assert [r.status for r in hub.seen("/preupload/")] == [status, status, 200]
    assert [r.status for r in hub.seen(STORAGE, "PUT")] == [status, 200]


def test_cached_files_are_used_when_the_hub_is_down_or_slow(hub, api):
    add(api)
    hub.fail("/resolve/", 503, times=99)
    with pytest.raises(LocalEntryNotFoundError):
        read()
    hub.heal()
    assert read() == b"one"
    hub.fail("/resolve/", 503, times=99)
    assert read() == b"one"
    hub.heal()
    hub.delay("/resolve/", 0.5)
    assert read(etag_timeout=0.1) == b"one"
    hub.stop()
    assert read() == b"one"


def test_an_interrupted_upload_leaves_the_repository_unchanged(hub, api, tmp_path):
    for name in ("config.json", "one.bin", "two.bin"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(name.encode() * 20_000)
    before = hub.repo(REPO).at().oid
    hub.fail(STORAGE, 403, method="PUT")
    with pytest.raises(RuntimeError, match=r"Error while uploading"):
        api.upload_folder(repo_id=REPO, folder_path=tmp_path / "folder")
    hub.fail(COMMIT, 500)
    with pytest.raises(HfHubHTTPError, match="injected failure"):
        api.upload_folder(repo_id=REPO, folder_path=tmp_path / "folder")
    assert hub.repo(REPO).at().oid == before
    assert hub.files(REPO) == {}
    api.upload_folder(repo_id=REPO, folder_path=tmp_path / "folder")
    assert set(hub.files(REPO)) == {"config.json", "one.bin", "two.bin"}


def test_a_commit_with_a_lost_response_is_applied(hub, api):
    hub.cut(COMMIT, after=5)
    with pytest.raises(Exception, match="peer closed connection"):
        add(api)
    assert hub.files(REPO) == {"a.txt": b"one"}


def test_a_commit_cannot_refer_to_content_that_was_not_uploaded(hub, api):
    lost = {"path": "w.bin", "algo": "sha256", "oid": "0" * 64, "size": 5}
    body = "\n".join(map(json.dumps, [{"key": "header", "value": {"summary": "x"}}, {"key": "lfsFile", "value": lost}]))
    answer = get_session().post(
        f"{hub.endpoint}/api/models/{REPO}/commit/main", content=body, headers=api._build_hf_headers()
    )
    assert (answer.status_code, hub.files(REPO)) == (400, {})


# cards and Spaces


def test_a_card_is_checked_and_describes_its_repository(hub, api):
    card = ModelCard(
        "---\nlicense: mit\nlibrary_name: emotion_hub\npipeline_tag: image-classification\ntags: [emotion]\n"
        "datasets: [lab/faces]\n---\n# Hi\n"
    )
    card.push_to_hub(REPO)
    info = api.model_info(REPO)
    assert (info.card_data.license, info.library_name, info.pipeline_tag) == (
        "mit",
        "emotion_hub",
        "image-classification",
    )
    assert {"emotion", "dataset:lab/faces", "license:mit"} <= set(info.tags)
    for broken in ("---\ntags: [1]\n---\n", "---\na: [\n---\n"):
        with pytest.raises(ValueError, match=r"must be strings|bad YAML"):
            add(api, "README.md", broken.encode())
    with pytest.raises(ValueError, match="must be strings"):
        ModelCard("---\ntags: [1]\n---\n").validate()
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        add(api, "README.md", b"# No metadata\n")


def test_a_space_needs_a_card_and_an_app_file(hub):
    api, space = HfApi(), "tester/demo"
    api.create_repo(space, repo_type="space", space_sdk="gradio", space_variables=[{"key": "A", "value": "1"}])
    assert api.get_space_runtime(space).stage == "NO_APP_FILE"
    with pytest.raises(ValueError, match='"colorFrom" must be one of'):
        api.upload_file(
            path_or_fileobj=b"---\nsdk: gradio\ncolorFrom: pinkish\n---\n",
            path_in_repo="README.md",
            repo_id=space,
            repo_type="space",
        )
    api.upload_file(path_or_fileobj=b"print()", path_in_repo="app.py", repo_id=space, repo_type="space")
    assert (api.get_space_runtime(space).stage, api.space_info(space).sdk) == ("RUNNING", "gradio")
    api.add_space_variable(space, "B", "2")
    assert {k: v.value for k, v in api.get_space_variables(space).items()} == {"A": "1", "B": "2"}
    assert set(api.delete_space_variable(space, "A")) == {"B"}
    api.add_space_secret(space, "TOKEN", "hidden")
    assert set(api.get_space_secrets(space)) == {"TOKEN"}
    with pytest.raises(HfHubHTTPError, match="Forbidden"):
        api.add_space_variable(space, "C", "3", token=OTHER_TOKEN)


# datasets, transformers and this package

LOAD = """
import hashlib, json, sys
from datasets import load_dataset

def rows(data):
    return [[hashlib.sha256(row["image"].convert("RGB").tobytes()).hexdigest(), row["label"]] for row in data]

whole, stream = (load_dataset("tester/faces", split="train", streaming=streaming) for streaming in (False, True))
names = {"names": whole.features["label"].names, "streamed": stream.features["label"].names}
print(json.dumps({**names, "whole": rows(whole), "stream": rows(stream)}))
"""


@pytest.mark.slow
def test_a_dataset_loads_completely_and_streamed(hub, face_image):
    import hashlib

    from datasets import ClassLabel, Dataset, Features, Image, config

    assert hub.endpoint == config.HF_ENDPOINT
    images = [face_image.rotate(90 * n) for n in range(4)]
    features = Features({"image": Image(), "label": ClassLabel(names=["angry", "happy"])})
    commit = Dataset.from_dict({"image": images, "label": [0, 1, 1, 0]}, features=features).push_to_hub(
        "tester/faces", private=True
    )
    assert set(hub.files("tester/faces", "dataset")) == {"README.md", "data/train-00000-of-00001.parquet"}
    assert hub.repo("tester/faces", "dataset").at().oid == commit.oid
    loaded = subprocess.run([sys.executable, "-W", "ignore", "-c", LOAD], capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    contents = json.loads(loaded.stdout)
    expected = [
        [hashlib.sha256(image.tobytes()).hexdigest(), label] for image, label in zip(images, [0, 1, 1, 0], strict=True)
    ]
    assert contents == {
        "names": ["angry", "happy"],
        "streamed": ["angry", "happy"],
        "whole": expected,
        "stream": expected,
    }


def test_a_classifier_loads_with_equal_logits_also_from_the_cache(hub, tmp_path):
    from emotion_hub.errors import CheckpointError
    from emotion_hub.models.classifier import EmotionClassifier

    torch.manual_seed(0)
    model = EmotionClassifier("emotion_cnn").eval()
    commit = model.push_to_hub("tester/emotion", private=True)
    assert set(hub.files("tester/emotion")) == {"README.md", "config.json", "model.safetensors"}
    assert len(hub.seen(STORAGE, "PUT", 200)) == 2, "6 MB of weights are uploaded in two parts"
    inputs = torch.randn(2, 1, 48, 48)

    with torch.inference_mode():
        expected = model(inputs)

    def assert_comes_back(**options) -> None:
        loaded = EmotionClassifier.from_pretrained("tester/emotion", **options)
        assert_same_weights(loaded, model)
        with torch.inference_mode():
            assert_same_logits(loaded(inputs), expected)

    assert_comes_back(revision=commit.oid)
    assert_comes_back()
    with pytest.raises(CheckpointError, match="private"):
        assert_comes_back(token=False, cache_dir=tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="branch, tag or commit"):
        assert_comes_back(revision="absent")
    hub.stop()
    assert_comes_back()
    assert_comes_back(local_files_only=True)
    with pytest.raises(CheckpointError, match="cannot be reached"):
        assert_comes_back(cache_dir=tmp_path / "elsewhere")


def test_transformers_pushes_and_loads_a_model(hub):
    from transformers import AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3)
    model = ResNetForImageClassification(config).eval()
    model.push_to_hub("tester/resnet")
    loaded = AutoModelForImageClassification.from_pretrained("tester/resnet").eval()
    inputs = torch.randn(1, 3, 32, 32)
    assert_same_weights(loaded, model)
    with torch.inference_mode():
        assert_same_logits(loaded(inputs).logits, model(inputs).logits)
    assert hub.seen("/tester/resnet/resolve/[^/]+/config.json", status=200)
    with pytest.raises(OSError, match="not a valid model identifier"):
        AutoModelForImageClassification.from_pretrained("tester/absent")


def test_the_fixture_restores_the_libraries():
    """The values that the fixture changed are restored, also in libraries that were imported while it was active.

    Runs after the tests above.
    """
    from huggingface_hub.hf_api import api

    known = [constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE, api.endpoint]
    caches = [constants.HF_HOME, constants.HF_HUB_CACHE]
    if "datasets.config" in sys.modules:
        config = sys.modules["datasets.config"]
        known += [config.HF_ENDPOINT, config.HUB_DATASETS_URL]
        caches += [str(config.HF_DATASETS_CACHE)]
    assert not [value for value in known if "127.0.0.1" in value]
    assert not [value for value in caches if "pytest" in value]
