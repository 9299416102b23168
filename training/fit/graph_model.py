"""Tensors of a TensorFlow.js graph model, from a folder or an npm package."""

from __future__ import annotations

import json
import math
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from emotion_hub.errors import CheckpointError, first_line

__all__ = ["GraphModel", "read_graph_model"]

#: Largest file that is read, in bytes; the models of the package have up to 15 MB.
LARGEST = 256 * 2**20

#: Types of stored tensors, little-endian; other quantisations need a scale and are refused.
TYPES = {"float16": "<f2", "float32": "<f4", "int32": "<i4"}


class GraphModel:
    """A graph model: `nodes` by name, and the `tensors` of its weights file, float32 or int32, by name."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Any]], tensors: Mapping[str, np.ndarray]) -> None:
        self.nodes, self.tensors = nodes, tensors

    def tensor(self, name: str) -> np.ndarray:
        """The tensor of this name; raises CheckpointError where the model has none."""
        if name not in self.tensors:
            raise CheckpointError(f"the graph model has no tensor {name!r}; it is another network")
        return self.tensors[name]

    def strides(self, tensor: str) -> tuple[int, int]:
        """Strides, (down, across), of the convolution that reads this tensor; raises CheckpointError without one."""
        for node in self.nodes.values():
            if tensor in (node.get("input") or ()) and "strides" in node.get("attr", {}):
                _, down, across, _ = (int(value) for value in node["attr"]["strides"]["list"]["i"])
                return down, across
        raise CheckpointError(f"no convolution of the graph model reads {tensor!r}; it is another network")


def read_graph_model(package: str | Path, name: str) -> GraphModel:
    """The model `name` (`name.json` and its weights files) of a folder or of an npm package, `.tgz`.

    Files of an archive are read in place; nothing is extracted or executed. Raises CheckpointError for a package
    without the model, and for files that are damaged or not a graph model.
    """
    path = Path(package)
    try:
        if path.is_dir():
            return _parse(name, _files_of_folder(path))
        if not path.is_file():
            raise CheckpointError(
                f"{str(package)!r} is neither a folder nor a file; download the package with `npm pack`, or give the "
                "folder of an unpacked one"
            )
        with tarfile.open(path, "r:gz") as archive:
            return _parse(name, _files_of_archive(archive))
    except CheckpointError:
        raise
    except (OSError, EOFError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path.name!r} is damaged or not a graph model: {first_line(error)}; download it again"
        ) from error


def _files_of_folder(folder: Path) -> Callable[[str], bytes]:
    """A function that reads a file of this name, in any subfolder."""

    def read(name: str) -> bytes:
        found = sorted(folder.rglob(name))
        if not found:
            raise CheckpointError(f"{folder.name!r} has no file {name!r}; give the folder of the whole package")
        if found[0].stat().st_size > LARGEST:
            raise CheckpointError(f"{name!r} has more than {LARGEST:,} bytes; it is another file")
        return found[0].read_bytes()

    return read


def _files_of_archive(archive: tarfile.TarFile) -> Callable[[str], bytes]:
    """A function that reads a file of this name, in any folder of the archive."""
    members = {PurePosixPath(member.name).name: member for member in archive.getmembers() if member.isfile()}

    def read(name: str) -> bytes:
        if name not in members:
            raise CheckpointError(f"the archive has no file {name!r}; give the whole npm package")
        if members[name].size > LARGEST:
            raise CheckpointError(f"{name!r} has more than {LARGEST:,} bytes; it is another file")
        file = archive.extractfile(members[name])
        assert file is not None  # a regular file
        return file.read()

    return read


def _parse(name: str, read: Callable[[str], bytes]) -> GraphModel:
    model = json.loads(read(f"{name}.json"))
    tensors: dict[str, np.ndarray] = {}
    for group in model["weightsManifest"]:
        for path in group["paths"]:
            if PurePosixPath(path).name != path:
                raise CheckpointError(f"weights file {path!r} lies in another folder; it is not the expected package")
        data, start = b"".join(read(path) for path in group["paths"]), 0
        for entry in group["weights"]:
            stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
            if stored not in TYPES:
                raise CheckpointError(
                    f"tensor {entry['name']!r} is stored as {stored}; the types that are read are {', '.join(TYPES)}"
                )
            count = math.prod(entry["shape"])
            values = np.frombuffer(data, TYPES[stored], count, start).reshape(entry["shape"])
            tensors[entry["name"]] = values.astype(np.int32 if stored == "int32" else np.float32)
            start += count * values.itemsize
        if start != len(data):
            raise CheckpointError(
                f"{', '.join(group['paths'])} has {len(data)} bytes, its tensors {start}; get it again"
            )
    return GraphModel({node["name"]: node for node in model["modelTopology"]["node"]}, tensors)
