"""One chosen model from where it is to a predictor, with its card, its revision and its figures."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import (
    CONFIG_FILE,
    REPORT_FILE,
    WEIGHTS_FILE,
    download_file,
    embedded_checkpoints,
    file_hash,
)
from emotion_hub.errors import CheckpointError, ConfigError, EmotionHubError, InputError
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.preprocess import PreprocessConfig
from emotion_hub.ui.choices import Choice, role_of

__all__ = ["MAX_WEIGHTS", "LoadedModel", "load"]

CARD_FILE = "README.md"

#: Bytes of weights that a visitor may make this server download, of each text beside them, and of all visitors' downloads on disk.
MAX_WEIGHTS, MAX_TEXT, MAX_DISK = 600 * 10**6, 200_000, 3 * 10**9

#: Seconds for the Hub's answer to what a repository holds.
ASK = 10.0


@dataclass(frozen=True)
class LoadedModel:
    """A predictor that is ready, and what the page says of it: `revision` the commit on the Hub, `card` Markdown, `figures` its report's."""

    name: str
    predictor: EmotionPredictor
    network: str
    revision: str | None = None
    card: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def preprocess(self) -> PreprocessConfig:
        """The preprocessing of the network's input."""
        return self.predictor.preprocessor.config

    @property
    def role(self) -> str:
        """The side of a comparison it belongs to."""
        return role_of(self.preprocess)


def load(choice: Choice, report: Callable[[str], None] = lambda line: None) -> LoadedModel:
    """The model of a choice; `report` gets a line on what is being done. Raises EmotionHubError that names the choice and not the server's folders."""
    revision, folder = None, choice.folder
    if choice.problem:
        raise InputError(choice.problem)
    if choice.repo_id:
        folder = _trusted_files(choice, report) if choice.trusted else _public_files(choice, report)
        revision = folder.name
    report("reading the weights")
    try:
        return _of_folder(choice, folder, revision)
    except EmotionHubError as error:
        raise type(error)(str(error).replace(str(folder), choice.name)) from error


def _trusted_files(choice: Choice, report: Callable[[str], None]) -> Path:
    """The folder in the Hub's cache, all files of one commit; with the server's token where it has one."""
    report("asking the Hub")
    config = download_file(choice.repo_id, CONFIG_FILE, choice.revision, None, False, None, False)
    commit = config.parent.name  # a push between two files must not mix two commits
    report("downloading")
    download_file(choice.repo_id, WEIGHTS_FILE, commit, None, False, None, False)
    for name in (CARD_FILE, REPORT_FILE):
        _optional(choice.repo_id, name, commit, None, None, False)
    return config.parent


def _public_files(choice: Choice, report: Callable[[str], None]) -> Path:
    """The folder in a cache of its own, asked for as nobody: neither the server's token nor what it has fetched with it is within reach."""
    report("asking the Hub")
    cache, at = _public_cache(), f"{choice.repo_id}" + (f" at revision {choice.revision!r}" if choice.revision else "")
    sizes, commit = _listing(choice)
    if sizes is None:  # the Hub is out of reach: what it gave to nobody before may be used
        config = download_file(choice.repo_id, CONFIG_FILE, choice.revision, cache, False, False, True)
        download_file(choice.repo_id, WEIGHTS_FILE, config.parent.name, cache, False, False, True)
        return config.parent
    for name, limit in ((WEIGHTS_FILE, MAX_WEIGHTS), (CONFIG_FILE, MAX_TEXT)):
        if name not in sizes:
            raise CheckpointError(f"{at} has no {name}; it is no emotion_hub checkpoint (pickled weights are refused)")
        if sizes[name] > limit:
            raise CheckpointError(
                f"{name} of {at} has {sizes[name] / 1e6:,.1f} MB, this demo takes {limit / 1e6:,.1f}; load it in Python, with from_pretrained"
            )
    _make_room(cache, sizes[WEIGHTS_FILE], choice.repo_id)
    config = download_file(choice.repo_id, CONFIG_FILE, commit, cache, False, False, False)
    _refuse_more_weights_than_the_file_holds(config, sizes[WEIGHTS_FILE], at)
    report(f"downloading {sizes[WEIGHTS_FILE] / 1e6:,.1f} MB")
    download_file(choice.repo_id, WEIGHTS_FILE, commit, cache, False, False, False)
    for name in (CARD_FILE, REPORT_FILE):
        if sizes.get(name, MAX_TEXT + 1) <= MAX_TEXT:
            _optional(choice.repo_id, name, commit, cache, False, False)
    if choice.revision != commit:  # so that the revision's name is known when the Hub is out of reach
        download_file(choice.repo_id, CONFIG_FILE, choice.revision, cache, False, False, False)
    return config.parent


def _listing(choice: Choice) -> tuple[dict[str, int] | None, str]:
    """({file: bytes}, commit) of a public repository, None for the first when the Hub is out of reach; raises CheckpointError when it refuses."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    try:
        info = HfApi(token=False).model_info(choice.repo_id, revision=choice.revision, files_metadata=True, timeout=ASK)
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"the Hub has no revision {choice.revision!r} of {choice.repo_id}; check the branch, tag or commit"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500 or status == 429:
            return None, ""
        raise CheckpointError(
            f"the Hub has no public model {choice.repo_id} ({status}); check the id. This demo opens no private or gated repository for visitors"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"{choice.repo_id!r} is no Hub id: {error}") from error
    except (OSError, HTTPError, OfflineModeIsEnabled):
        return None, ""
    if info.gated:
        raise CheckpointError(
            f"{choice.repo_id} is gated; this demo opens no gated repository for visitors. Load it in Python, with your token"
        )
    return {file.rfilename: file.size or 0 for file in info.siblings or []}, str(info.sha)


def _refuse_more_weights_than_the_file_holds(config: Path, size: int, at: str) -> None:
    """A configuration can ask for a network of gigabytes beside a file of bytes: count before anything is allocated."""
    from emotion_hub.models.classifier import ClassifierConfig
    from emotion_hub.models.registry import create_model

    try:
        wanted = ClassifierConfig.from_dict(json.loads(config.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise CheckpointError(f"{CONFIG_FILE} of {at} is not JSON: {error}") from error
    import torch

    with torch.device("meta"):
        numbers = sum(
            tensor.numel()
            for tensor in create_model(wanted.model, len(wanted.labels), **wanted.options).state_dict().values()
        )
    if 2 * numbers > size:  # two bytes each at least: no smaller type is loaded
        raise CheckpointError(
            f"{at} configures a network of {numbers:,} numbers, and its {WEIGHTS_FILE} has only {size:,} bytes; they do not belong together"
        )


def _optional(repo_id: str, name: str, commit: str, cache: Path | None, token: bool | None, local: bool) -> None:
    """Fetch a file that a checkpoint may lack: without a card there is less to show, and the model works."""
    with contextlib.suppress(CheckpointError):
        download_file(repo_id, name, commit, cache, False, token, local)


def _of_folder(choice: Choice, folder: Path, revision: str | None) -> LoadedModel:
    if embedded_checkpoints().get(choice.name) == folder:
        predictor = embedded_predictor(choice.name)
    else:
        predictor = EmotionPredictor.from_pretrained(folder)
        predictor.name = choice.name
    figures = _report(folder, list(predictor.labels.labels))
    card = folder / CARD_FILE
    text = card.read_text(encoding="utf-8", errors="replace")[:MAX_TEXT] if card.is_file() else ""
    network = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["model"]
    return LoadedModel(choice.name, predictor, network, revision, text, figures)


def _report(folder: Path, labels: list[str]) -> dict[str, Any]:
    """The figures of the report beside the weights, empty where it is none or of other weights; raises CheckpointError for another label order."""
    path = folder / REPORT_FILE
    if not path.is_file() or path.stat().st_size > MAX_TEXT:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    if found.get("sha256") != file_hash(folder / WEIGHTS_FILE):
        return {}
    if found.get("labels", labels) != labels:
        raise CheckpointError(
            f"{REPORT_FILE} measured these weights with labels {found['labels']}, {CONFIG_FILE} has {labels}; one of them was edited"
        )
    return {key: found[key] for key in ("accuracy", "n", "split") if isinstance(found.get(key), int | float | str)}


def _public_cache() -> Path:
    from huggingface_hub import cached_assets_path, constants

    return cached_assets_path("emotion_hub", "demo", "public", assets_dir=constants.HF_ASSETS_CACHE)


def _make_room(cache: Path, wanted: int, keep: str) -> None:
    """Delete the repositories fetched longest ago until the new one fits."""
    folders = sorted(
        (f for f in cache.glob("models--*") if f.name != f"models--{keep.replace('/', '--')}"),
        key=lambda f: f.stat().st_mtime,
    )
    used = {
        folder: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
        for folder in folders
    }
    while folders and sum(used.values()) + wanted > MAX_DISK:
        shutil.rmtree(folders[0], ignore_errors=True)
        used.pop(folders.pop(0))
