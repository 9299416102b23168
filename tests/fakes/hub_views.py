"""Local Hub: JSON of repositories, files, commits, pull requests, cards."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.fakes.hub_store import Commit, File, Repo, Store

SDKS = ("gradio", "streamlit", "docker", "static")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
TEXTS = (
    "title",
    "emoji",
    "pipeline_tag",
    "library_name",
    "app_file",
    "sdk_version",
    "short_description",
    "pretty_name",
)


def front_matter(content: str) -> Any:
    """The YAML between the first two lines of dashes, None where there is none; raises yaml.YAMLError."""
    match = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", content, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def card_problems(content: str, kind: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) of a README's metadata, for the rules of the real Hub that cards commonly break."""
    try:
        card = front_matter(content)
    except yaml.YAMLError as error:
        return [f"bad YAML: {error}"], []
    if not card:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return ["the metadata must be an object"], []
    errors = [f'"{key}" must be a string' for key in TEXTS if key in card and not isinstance(card[key], str)]
    for key in ("tags", "datasets", "metrics", "language", "license"):
        values = card.get(key, [])
        if not all(isinstance(value, str) for value in (values if isinstance(values, list) else [values])):
            errors.append(f'"{key}" must be strings')
    for index, model in enumerate(card.get("model-index") or []):
        if "results" not in model:
            errors.append(f'"model-index[{index}].results" is required')
        for result in model.get("results", []):
            errors += [
                f'"model-index[{index}].results.{part}" is required'
                for part in ("task", "dataset", "metrics")
                if part not in result
            ]
    if kind == "space":
        choices = {"sdk": SDKS, "colorFrom": COLOURS, "colorTo": COLOURS}
        errors += [
            f'"{key}" must be one of {", ".join(valid)}'
            for key, valid in choices.items()
            if card.get(key, valid[0]) not in valid
        ]
        errors += ['"sdk" is required'] if "sdk" not in card else []
        errors += (
            ['"short_description" length must be less than or equal to 60']
            if len(str(card.get("short_description", ""))) > 60
            else []
        )
    return errors, []


def card_of(store: Store, repo: Repo, commit: Commit) -> dict[str, Any]:
    """The metadata of the README; empty when there are none or invalid ones."""
    if "README.md" not in commit.files:
        return {}
    try:
        card = front_matter(store.read(repo, "README.md", commit.oid).decode())
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return json.loads(json.dumps(card, default=str)) if isinstance(card, dict) else {}


def repo_json(store: Store, repo: Repo, revision: str = "main", blobs: bool = False) -> dict[str, Any]:
    commit, card = repo.at(revision), card_of(store, repo, repo.at(revision))

    def listed(key: str) -> list[str]:
        return [card[key]] if isinstance(card.get(key), str) else list(card.get(key) or [])

    prefixed = [
        f"{name}:{value}" for key, name in (("datasets", "dataset"), ("license", "license")) for value in listed(key)
    ]
    formats = [name for name in ("safetensors", "onnx") if any(path.endswith(f".{name}") for path in commit.files)]
    info = {
        "_id": commit.oid[:24],
        "id": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": next(iter(repo.commits.values())).date,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "usedStorage": sum(file.size for file in commit.files.values()),
        "tags": [*listed("library_name"), *formats, *listed("tags"), *prefixed, "region:us"],
        "siblings": [_sibling(path, file, blobs) for path, file in sorted(commit.files.items())],
        **({"cardData": card} if card else {}),
    }
    if repo.kind == "model":
        info |= {
            "modelId": repo.id,
            **{key: card[key] for key in ("library_name", "pipeline_tag", "model-index") if key in card},
        }
    elif repo.kind == "space":
        subdomain = re.sub("[^a-z0-9]+", "-", repo.id.lower())
        info |= {
            "sdk": card.get("sdk", repo.sdk),
            "subdomain": subdomain,
            "host": f"https://{subdomain}.hf.space",
            "runtime": runtime_json(store, repo),
        }
    return info


def runtime_json(store: Store, repo: Repo) -> dict[str, Any]:
    """The state of a Space; it is running when its README is valid and its app file exists."""
    commit, card = repo.at(), card_of(store, repo, repo.at())
    has_app = card.get("sdk") in ("docker", "static") or card.get("app_file", "app.py") in commit.files
    stage = "RUNNING" if has_app else "NO_APP_FILE"
    if "sdk" not in card:
        stage = "CONFIG_ERROR"
    return {
        "stage": stage,
        "hardware": {"current": "cpu-basic", "requested": "cpu-basic"},
        "gcTimeout": 172800,
        "sha": commit.oid,
    }


def _sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    lfs = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 130}} if file.sha256 else {}
    return {"rfilename": path, "size": file.size, "blobId": file.oid, **lfs}


def entries(
    repo: Repo, revision: str, folder: str = "", recursive: bool = True, expand: bool = False
) -> list[dict[str, Any]]:
    """The files and folders in a folder by their full paths, folders first as on the Hub."""
    start = f"{folder.strip('/')}/" if folder.strip("/") else ""
    files = {path: file for path, file in repo.at(revision).files.items() if path.startswith(start)}
    parts = [path.removeprefix(start).split("/") for path in files]
    folders = sorted(
        {start + "/".join(p[:n]) for p in parts for n in range(1, len(p) if recursive else min(len(p), 2))}
    )
    listed = [{"type": "directory", "oid": repo.at(revision).oid, "size": 0, "path": path} for path in folders]
    for path, file in sorted(files.items()):
        if recursive or "/" not in path.removeprefix(start):
            lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 130}} if file.sha256 else {}
            listed.append({"type": "file", "oid": file.oid, "size": file.size, "path": path, **lfs})
    for entry in listed if expand else []:
        change = repo.last_change(entry["path"], revision)
        entry["lastCommit"] = {"id": change.oid, "title": change.title, "date": change.date}
    return listed


def commit_json(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
    }


def pull_json(repo: Repo, number: int) -> dict[str, Any]:
    pull = repo.pulls[number]
    author, date = {"name": pull["author"]}, pull["createdAt"]
    comment = {"edited": False, "hidden": False, "latest": {"raw": pull["description"]}}
    events = [{"id": f"{number:024x}", "type": "comment", "createdAt": date, "author": author, "data": comment}]
    ours = {commit.oid for commit in repo.history()}
    for commit in reversed([c for c in repo.history(f"refs/pr/{number}") if c.oid not in ours]):
        data = {"subject": commit.title, "oid": commit.oid}
        events.append(
            {
                "id": commit.oid[:24],
                "type": "commit",
                "createdAt": commit.date,
                "author": {"name": commit.author},
                "data": data,
            }
        )
    about = {"author": author, "repo": {"name": repo.id, "type": repo.kind}, "isPullRequest": True, "events": events}
    return {**pull, **about, "changes": {"base": "refs/heads/main"}, "filesWithConflicts": [], "diff": ""}


def refs_json(repo: Repo) -> dict[str, Any]:
    names = {"branches": "refs/heads/", "tags": "refs/tags/", "pullRequests": "refs/pr/"}
    by_kind = {key: [r for r in sorted(repo.refs) if r.startswith(start)] for key, start in names.items()}
    listed = {
        key: [{"name": r.removeprefix(names[key]), "ref": r, "targetCommit": repo.refs[r]} for r in refs]
        for key, refs in by_kind.items()
    }
    return {**listed, "converts": []}
