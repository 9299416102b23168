"""Local Hub: in-memory accounts, repositories with history, large files.

Content is addressed by its hash. The rules are those of the real Hub as far as clients depend on them. `hub_views.py`
converts the content to the Hub's JSON, `hub_server.py` serves it over HTTP, `hub_faults.py` injects faults.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import Any

#: {segment of a URL: kind of repository}.
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
#: Suffixes that the Hub's own .gitattributes assigns to large-file storage for any size; MEDIA for datasets only.
LARGE = (
    "7z arrow bin bz2 ckpt ftz gz h5 joblib mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl pt pth rar "
    "safetensors tar tflite tgz wasm xz zip zst"
)
MEDIA = "bmp gif jpeg jpg png tiff webp flac mp3 ogg wav mp4 webm"


class HubError(Exception):
    """An error response: status, message, the X-Error-Code that clients evaluate, further headers."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}


@dataclass(frozen=True)
class Account:
    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One file of a commit: git's blob id and, for a large file, the SHA-256 of its content; its blob is a pointer."""

    oid: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    files: Mapping[str, File]
    title: str
    message: str
    author: str
    date: str


@dataclass
class Repo:
    """A repository; `refs` are those of git, such as refs/heads/main, refs/tags/v1, refs/pr/1."""

    kind: str
    id: str
    private: bool = False
    gated: str | bool = False
    sdk: str | None = None
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def prefix(self) -> str:
        """The path of the repository on the website; paths of models have no prefix."""
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    def ref(self, revision: str) -> str:
        """The full name of a branch, tag or pull request; RevisionNotFound for an unknown one."""
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return name
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def at(self, revision: str = "main") -> Commit:
        """The commit of a branch, tag, pull request or commit id, which may be cut to seven characters."""
        commits = [
            c
            for oid, c in self.commits.items()
            if re.fullmatch("[0-9a-f]{7,40}", revision) and oid.startswith(revision)
        ]
        return commits[0] if len(commits) == 1 else self.commits[self.refs[self.ref(revision)]]

    def history(self, revision: str = "main") -> Iterator[Commit]:
        commit: Commit | None = self.at(revision)
        while commit:
            yield commit
            commit = self.commits.get(commit.parent or "")

    def last_change(self, path: str, revision: str) -> Commit:
        """The newest commit that changed a file, or a file in a folder."""

        def content(commit: Commit | None) -> dict[str, File]:
            return {p: f for p, f in commit.files.items() if p == path or p.startswith(f"{path}/")} if commit else {}

        return next(c for c in self.history(revision) if content(c) != content(self.commits.get(c.parent or "")))


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_text(sample: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 text; the sample may end inside a character."""
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False


class Store:
    """All content of the Hub. Files of at least `threshold` bytes are large files (10 MB on the real Hub)."""

    def __init__(self, threshold: int = 10_000_000) -> None:
        self.threshold = threshold
        self.accounts: dict[str, Account] = {}  # by token
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}  # by git's blob id
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.parts: dict[tuple[str, int], bytes] = {}  # of multipart uploads in progress

    def create(self, kind: str, id_: str, author: str, private: bool = False, sdk: str | None = None) -> Repo:
        """A new repository with the first commit of the real Hub; 409 for one that exists."""
        if (kind, id_) in self.repos:
            raise HubError(409, f"You already created this {kind} repo")
        repo = self.repos[kind, id_] = Repo(kind, id_, private, sdk=sdk)
        patterns = [f"*.{suffix}" for suffix in f"{LARGE} {MEDIA if kind == 'dataset' else ''}".split()]
        files = {".gitattributes": "".join(f"{p} filter=lfs diff=lfs merge=lfs -text\n" for p in patterns)}
        if kind == "space":
            name = id_.split("/")[1]
            files["README.md"] = (
                f"---\ntitle: {name}\nemoji: 🚀\ncolorFrom: blue\ncolorTo: gray\nsdk: {sdk}\npinned: false\n---\n"
            )
        self._record(
            repo,
            "refs/heads/main",
            None,
            {p: self.regular(t.encode()) for p, t in files.items()},
            "initial commit",
            "",
            author,
        )
        return repo

    def regular(self, data: bytes) -> File:
        oid = git_oid(data)
        self.blobs[oid] = data
        return File(oid, len(data))

    def pointer(self, sha256: str, size: int | None = None) -> File:
        """The entry of a large file that was uploaded; 400 when there is none with this hash and size."""
        if sha256 not in self.large or size not in (None, len(self.large[sha256])):
            raise HubError(400, f"LFS pointer pointed to a file that does not exist: {sha256}")
        size = len(self.large[sha256])
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return File(self.regular(text.encode()).oid, size, sha256)

    def upload(self, sha256: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != sha256:
            raise HubError(400, f"the content of {sha256} does not match its hash")
        self.large[sha256] = data

    def read(self, repo: Repo, path: str, revision: str = "main") -> bytes:
        file = repo.at(revision).files[path]
        return self.large[file.sha256] if file.sha256 else self.blobs[file.oid]

    def is_large(self, repo: Repo, path: str, size: int, sample: bytes) -> bool:
        """Whether a file belongs in large-file storage: by its size, by .gitattributes, or as binary content."""
        attributes = self.read(repo, ".gitattributes").decode() if ".gitattributes" in repo.at().files else ""
        patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
        return (
            size >= self.threshold
            or not is_text(sample)
            or any(fnmatch(path, p) or fnmatch(path.split("/")[-1], p) for p in patterns)
        )

    def commit(
        self, repo: Repo, revision: str, lines: list[dict[str, Any]], author: str, create_pr: bool = False
    ) -> tuple[Commit, int | None]:
        """(new commit, number of the new pull request or None); all operations are applied, or none.

        Operations that change nothing make no commit: the head is returned.
        """
        header, operations = lines[0]["value"], lines[1:]
        ref = repo.ref(revision)
        base, parent = repo.at(ref), header.get("parentCommit")
        if parent and create_pr:
            base = repo.at(parent)
        elif parent and not base.oid.startswith(parent):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        if not create_pr and not ref.startswith(("refs/heads/", "refs/pr/")):
            raise HubError(404, f"Invalid rev id: {revision} is no branch", "RevisionNotFound")
        files = dict(base.files)
        for operation in operations:
            self._apply(operation["key"], operation["value"], files)
        number = None
        if create_pr:
            number = self.open_pull(repo, header["summary"], header.get("description", ""), author, base)
            ref = f"refs/pr/{number}"
        if files == base.files:
            return base, number
        return self._record(
            repo, ref, base.oid, files, header["summary"], header.get("description", ""), author
        ), number

    def _apply(self, key: str, value: dict[str, Any], files: dict[str, File]) -> None:
        path = value["path"].rstrip("/")
        if not path or any(part in ("", ".", "..", ".git") for part in path.split("/")):
            raise HubError(400, f"{value['path']!r} is no path in a repository")
        if key == "file":
            files[path] = self.regular(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            files[path] = self.pointer(value["oid"], value.get("size"))
        elif key in ("deletedFile", "deletedFolder"):
            deleted = [p for p in files if (p == path if key == "deletedFile" else p.startswith(f"{path}/"))]
            if not deleted:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in deleted:
                del files[name]
        else:
            raise HubError(400, f"unknown operation {key!r}")

    def _record(
        self, repo: Repo, ref: str, parent: str | None, files: dict[str, File], title: str, message: str, author: str
    ) -> Commit:
        described = json.dumps(
            [parent, title, message, author, now(), len(repo.commits), sorted((p, f.oid) for p, f in files.items())]
        )
        commit = Commit(hashlib.sha1(described.encode()).hexdigest(), parent, files, title, message, author, now())
        repo.commits[commit.oid] = commit
        repo.refs[ref] = commit.oid
        return commit

    def open_pull(self, repo: Repo, title: str, description: str, author: str, base: Commit | None = None) -> int:
        number = len(repo.pulls) + 1
        repo.refs[f"refs/pr/{number}"] = (base or repo.at()).oid
        repo.pulls[number] = {
            "num": number,
            "title": title,
            "description": description,
            "status": "open",
            "author": author,
            "createdAt": now(),
        }
        return number
