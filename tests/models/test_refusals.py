"""Refused checkpoints from the Hub and from folders; partial downloads."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load, save

from emotion_hub.checkpoints import CONFIG_FILE, WEIGHTS_FILE
from emotion_hub.errors import CheckpointError, ConfigError, EmotionHubError
from emotion_hub.labels import FER2013
from emotion_hub.models.classifier import EmotionClassifier
from tests.fakes.hub_models import checkpoint_files, put
from tests.fakes.hub_server import OTHER_TOKEN, READ_TOKEN

ID = "someone/faces"
HEAD = "classifier.4.weight"
UNPICKLED: list[str] = []

Files = dict[str, bytes]


def _sprung() -> None:
    UNPICKLED.append("opened")


class _Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _sprung, ()


def _pickled() -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save({HEAD: _Trap()}, buffer)
    return buffer.getvalue()


def _pickle_only(files: Files) -> None:
    del files[WEIGHTS_FILE]
    files["pytorch_model.bin"] = _pickled()


def _pickle_in_disguise(files: Files) -> None:
    files[WEIGHTS_FILE] = _pickled()


def _renamed_head(files: Files) -> None:
    tensors = load(files[WEIGHTS_FILE])
    tensors["head.weight"] = tensors.pop(HEAD)
    files[WEIGHTS_FILE] = save(tensors)


def _edited(**changes: Any) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        files[CONFIG_FILE] = json.dumps({**json.loads(files[CONFIG_FILE]), **changes}).encode()

    return edit


def _header(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], None]:
    """Change the header of the safetensors file and keep the bytes of the tensors."""

    def edit(files: Files) -> None:
        data = files[WEIGHTS_FILE]
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        files[WEIGHTS_FILE] = struct.pack("<Q", len(text)) + text + data[8 + length :]

    return edit


def _swap_offsets(header: dict[str, Any]) -> None:
    """Exchange two tensors of different sizes."""
    bias = "classifier.4.bias"
    header[HEAD]["data_offsets"], header[bias]["data_offsets"] = (
        header[bias]["data_offsets"],
        header[HEAD]["data_offsets"],
    )


def _overlap(header: dict[str, Any]) -> None:
    first = next(name for name in header if name != "__metadata__")
    header[HEAD]["data_offsets"] = header[first]["data_offsets"]


ORDER = list(FER2013.labels)
ALPHABETICAL = sorted(ORDER)

REFUSED = {
    "only a pickle": (_pickle_only, r"has no model\.safetensors.*pickle"),
    "a pickle under the name of the weights": (_pickle_in_disguise, r"model\.safetensors.*damaged"),
    "a renamed head": (_renamed_head, rf"lacks '{HEAD}'.*renamed"),
    "an unknown key of ours": (_edited(optoins={}), r"unknown configuration key 'optoins'; known are model, labels"),
    "an unknown key of the preprocessing": (
        lambda files: _edited(preprocess={**json.loads(files[CONFIG_FILE])["preprocess"], "upsmaple": "lanczos"})(
            files
        ),
        "unknown preprocessing key 'upsmaple'",
    ),
    "a header whose offsets are swapped": (_header(_swap_offsets), r"model\.safetensors.*damaged"),
    "a header whose tensors overlap": (_header(_overlap), r"model\.safetensors.*damaged"),
    "a header with another shape": (
        _header(lambda h: h[HEAD].update(shape=h[HEAD]["shape"][::-1])),
        rf"'{HEAD}'.*shape",
    ),
    "another label order in labels alone": (
        _edited(labels=ALPHABETICAL),
        r"id2label .* contradicts labels .*'neutral', 'sad'",
    ),
    "another label order in id2label alone": (
        _edited(id2label={str(i): label for i, label in enumerate(ALPHABETICAL)}),
        "id2label .* contradicts labels",
    ),
    "another label order in label2id alone": (
        _edited(label2id={label: i for i, label in enumerate(ALPHABETICAL)}),
        "label2id .* contradicts labels",
    ),
}


def in_folder(files: Files, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("where", ["hub", "folder"])
def test_a_broken_checkpoint_is_refused_by_name(what: str, where: str, hub: Any, tmp_path: Path) -> None:
    edit, pattern = REFUSED[what]
    files = checkpoint_files()
    edit(files)
    if where == "hub":
        put(hub, ID, files)
    source = ID if where == "hub" else in_folder(files, tmp_path / "broken")
    with pytest.raises((CheckpointError, ConfigError), match=f"(?s){pattern}"):
        EmotionClassifier.from_pretrained(source)
    assert UNPICKLED == []


def test_the_probe_object_leaves_a_trace_when_it_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "trap.bin").write_bytes(_pickled())
    torch.load(tmp_path / "trap.bin", weights_only=False)
    assert UNPICKLED.pop() == "opened"


def test_labels_in_another_order_are_accepted(hub: Any) -> None:
    """Some networks have alphabetical labels: an order that all keys of the configuration share is accepted."""
    put(hub, ID, checkpoint_files(labels=tuple(ALPHABETICAL)))
    loaded = EmotionClassifier.from_pretrained(ID)
    assert list(loaded.labels.labels) == ALPHABETICAL
    assert loaded.labels != FER2013


# the Hub's refusals


def test_a_private_repository_needs_a_token_with_read_access(hub: Any, tmp_path: Path) -> None:
    put(hub, "tester/secret", checkpoint_files(), private=True)
    for token, pattern in (
        (False, "private.*pass a token"),
        (OTHER_TOKEN, "private.*pass a token"),
        ("hf_unknown", "Invalid credentials"),
    ):
        with pytest.raises(CheckpointError, match=rf"(?s)'tester/secret'.*{pattern}|{pattern}.*'tester/secret'"):
            EmotionClassifier.from_pretrained("tester/secret", token=token, cache_dir=tmp_path / "cache")
        assert not list((tmp_path / "cache").rglob(WEIGHTS_FILE))
    assert (
        EmotionClassifier.from_pretrained(
            "tester/secret", token=READ_TOKEN, cache_dir=tmp_path / "cache"
        ).num_parameters
        == 1_572_551
    )


def test_a_missing_repository_and_a_missing_revision_raise_different_errors(hub: Any) -> None:
    with pytest.raises(CheckpointError, match=r"the Hub has no model 'someone/faces', or it is private"):
        EmotionClassifier.from_pretrained(ID)
    put(hub, ID, checkpoint_files())
    with pytest.raises(
        CheckpointError, match=r"the Hub has no 'someone/faces' at revision 'v9'; check the branch, tag or commit"
    ):
        EmotionClassifier.from_pretrained(ID, revision="v9")


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_hub_is_reported_and_a_later_attempt_works(status: int, hub: Any) -> None:
    put(hub, ID, checkpoint_files())
    hub.fail("/resolve/", status, times=99)
    with pytest.raises(
        CheckpointError, match=r"config\.json of 'someone/faces' is not in the cache and the Hub cannot be reached"
    ):
        EmotionClassifier.from_pretrained(ID)
    hub.heal()
    assert EmotionClassifier.from_pretrained(ID).num_parameters == 1_572_551


def test_a_partial_download_is_not_loaded_and_a_later_attempt_works(hub: Any) -> None:
    put(hub, ID, checkpoint_files())
    hub.cut("^/cdn/", after=0, times=99)
    with pytest.raises(CheckpointError, match=r"model\.safetensors of 'someone/faces' .*could not be downloaded"):
        EmotionClassifier.from_pretrained(ID)
    assert not list(Path(constants.HF_HUB_CACHE).rglob(f"snapshots/*/{WEIGHTS_FILE}")), (
        "only what is whole has a name in the cache"
    )
    with pytest.raises(CheckpointError, match=r"model\.safetensors of 'someone/faces' .*is not in the cache"):
        EmotionClassifier.from_pretrained(ID, local_files_only=True)
    hub.heal()
    loaded = EmotionClassifier.from_pretrained(ID)
    stored = load(checkpoint_files()[WEIGHTS_FILE])
    assert all(torch.equal(tensor, stored[name]) for name, tensor in loaded.network.state_dict().items())


def test_offline_a_cached_model_loads_and_another_one_is_refused(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(hub, ID, checkpoint_files())
    EmotionClassifier.from_pretrained(ID)
    before = len(hub.log)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert EmotionClassifier.from_pretrained(ID).num_parameters == 1_572_551
    with pytest.raises(
        CheckpointError,
        match=r"'someone/other' is not in the cache and the Hub cannot be reached; go online once, or use an embedded",
    ):
        EmotionClassifier.from_pretrained("someone/other")
    assert len(hub.log) == before


# revisions


def test_a_revision_selects_the_files_also_in_the_cache(hub: Any) -> None:
    first = put(hub, ID, checkpoint_files(seed=1))
    second = put(hub, ID, checkpoint_files(seed=2))
    hub.repo(ID).refs |= {"refs/tags/v1": first, "refs/heads/next": second}
    heads = {seed: load(checkpoint_files(seed=seed)[WEIGHTS_FILE])[HEAD] for seed in (1, 2)}

    def seed_of(revision: str | None) -> int:
        tensor = EmotionClassifier.from_pretrained(ID, revision=revision).network.state_dict()[HEAD]
        return next(seed for seed, head in heads.items() if torch.equal(head, tensor))

    expected = {None: 2, "main": 2, "next": 2, second: 2, "v1": 1, first: 1}
    assert {revision: seed_of(revision) for revision in expected} == expected
    hub.stop()
    assert {revision: seed_of(revision) for revision in expected} == expected


def test_a_push_between_two_files_does_not_mix_two_commits(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration and weights are of one commit, although the branch gets a new one between the two downloads."""
    from emotion_hub.models import classifier as module

    put(hub, ID, checkpoint_files(seed=1))
    resolve, names = module.resolve_file, []

    def resolve_then_push(source: Any, filename: str, **where: Any) -> Path:
        path = resolve(source, filename, **where)
        if not names:
            put(hub, ID, checkpoint_files(seed=2))
        names.append(filename)
        return path

    monkeypatch.setattr(module, "resolve_file", resolve_then_push)
    loaded = EmotionClassifier.from_pretrained(ID)
    assert torch.equal(loaded.network.state_dict()[HEAD], load(checkpoint_files(seed=1)[WEIGHTS_FILE])[HEAD])


def test_every_refusal_is_an_error_of_this_package(hub: Any) -> None:
    for fault in (
        lambda: hub.fail("/resolve/", 403, times=9),
        lambda: hub.fail("/resolve/", 404, times=9),
        lambda: hub.cut("/resolve/", after=3, times=99),
    ):
        hub.store.repos.clear()
        put(hub, ID, checkpoint_files())
        fault()
        with pytest.raises(EmotionHubError, match=ID):
            EmotionClassifier.from_pretrained(ID, cache_dir=str(Path(constants.HF_HOME) / str(len(hub.log))))
        hub.heal()
