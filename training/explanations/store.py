"""Cache of finished explanations: figures and map of one face per file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from training.data.files import write_arrays

__all__ = ["SCHEMA", "Store"]

#: Version of scores.json and of the cache; a file of another version is computed again.
SCHEMA = 2

Result = tuple[dict[str, Any], np.ndarray]


class Store:
    """Finished figures and maps in a folder; the file name is a digest of everything that determines the result.

    Without a folder nothing is stored. `hits` and `computed` count the calls of `get`.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.computed, self.hits = folder, 0, 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
        """The result for this key: stored by an earlier run, or computed and stored now."""
        text = json.dumps({"schema": SCHEMA, **key}, sort_keys=True)
        if self.folder is None:
            self.computed += 1
            return compute()
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
        if path.is_file():
            with np.load(path) as saved:
                self.hits += 1
                return json.loads(str(saved["row"])), saved["cells"]
        row, cells = compute()
        self.computed += 1
        write_arrays(path, row=np.array(json.dumps(row)), cells=cells, key=np.array(text))
        return row, cells
