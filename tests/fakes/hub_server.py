"""Local Hugging Face Hub: the HTTP API that client libraries call.

The libraries are huggingface_hub, datasets and transformers. `with serve() as hub:` gives a LocalHub; the fixture `hub`
in conftest.py also makes the libraries in this process use it. Large files are served from another origin (a second
port), which refuses requests with a token, as on the real Hub.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tests.fakes import hub_files, hub_routes
from tests.fakes.hub_access import HubState
from tests.fakes.hub_faults import Fault, FaultMiddleware
from tests.fakes.hub_faults import Request as Logged
from tests.fakes.hub_store import Account, HubError, Repo, Store

__all__ = ["OTHER_TOKEN", "READ_TOKEN", "TOKEN", "LocalHub", "serve"]

#: Write token and read token of the account "tester", a member of the organisation "lab", and token of another account.
TOKEN, READ_TOKEN, OTHER_TOKEN = "hf_tester_write", "hf_tester_read", "hf_other_write"


class LocalHub(HubState):
    """A running Hub: addresses, content (`store`, `repo`), received requests (`log`, `seen`) and fault injection."""

    def __init__(self, threshold: int) -> None:
        super().__init__(Store(threshold))
        self.store.accounts |= {
            TOKEN: Account("tester", "write", ("lab",)),
            READ_TOKEN: Account("tester", "read", ("lab",)),
            OTHER_TOKEN: Account("other"),
        }
        app = FastAPI(openapi_url=None)
        app.state.hub = self
        app.include_router(hub_routes.router)
        app.include_router(hub_files.router)
        app.add_exception_handler(HubError, _answer)
        self.middleware = FaultMiddleware(app)
        config = uvicorn.Config(
            self.middleware,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
        )
        config.timeout_graceful_shutdown = 1
        self._server = uvicorn.Server(config)
        self._sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in self._sockets)
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), name="local-hub", daemon=True)

    @property
    def log(self) -> list[Logged]:
        """Every request so far, in order of arrival."""
        return self.middleware.log

    def seen(self, path: str = "", method: str | None = None, status: int | None = None) -> list[Logged]:
        """The requests whose path contains a match of the pattern, with this method and status if they are given."""
        return [
            r for r in self.log if re.search(path, r.path) and method in (None, r.method) and status in (None, r.status)
        ]

    def repo(self, id_: str, kind: str = "model") -> Repo:
        return self.store.repos[kind, id_]

    def files(self, id_: str, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
        """{path: content} of a repository at a revision, without .gitattributes."""
        repo = self.repo(id_, kind)
        return {
            path: self.store.read(repo, path, revision)
            for path in sorted(repo.at(revision).files)
            if path != ".gitattributes"
        }

    def fail(
        self,
        path: str,
        status: int = 500,
        times: int = 1,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next `times` matching requests with an error; they have no effect."""
        self.middleware.faults.append(Fault(path, times, method, status=status, headers=headers or {}))

    def cut(self, path: str, after: int, times: int = 1, method: str | None = None) -> None:
        """Close the connection of the next `times` matching requests after this many bytes of the response body.

        The requests have their effect.
        """
        self.middleware.faults.append(Fault(path, times, method, after=after))

    def delay(self, path: str, seconds: float, times: int = 1, method: str | None = None) -> None:
        """Delay the next `times` matching requests by this many seconds."""
        self.middleware.faults.append(Fault(path, times, method, seconds=seconds))

    def heal(self) -> None:
        """Remove all injected faults."""
        self.middleware.faults.clear()

    def environment(self, home: str | Path, token: str | None = TOKEN) -> dict[str, str]:
        """The environment of a process that uses this Hub, with its caches below `home`.

        Add HF_HUB_OFFLINE=1 for a process that must not send requests.
        """
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HF_", "HUGGING")) and "OFFLINE" not in key
        }
        switches = ("DISABLE_XET", "DISABLE_TELEMETRY", "DISABLE_PROGRESS_BARS", "DISABLE_UPDATE_CHECK")
        ours = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(Path(home, "hub")),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return {
            **kept,
            **ours,
            **{f"HF_HUB_{name}": "1" for name in switches},
            **({"HF_TOKEN": token} if token else {}),
        }

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the local Hub did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Close both ports; a second call does nothing."""
        self._server.should_exit = True
        self._thread.join()


async def _answer(request: Request, error: HubError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, error.status, error.headers)


@contextmanager
def serve(threshold: int = 100_000) -> Iterator[LocalHub]:
    """A running Hub.

    Files of at least `threshold` bytes are large files, and so are binary files and those with a suffix of weights or
    archives.
    """
    hub = LocalHub(threshold)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()
