"""Upload limits of the demo over HTTP, alone and mounted beside the API.

After every refused request, no file of it is left on the disk.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest

from emotion_hub.images import MAX_BYTES
from emotion_hub.serve import create_app
from emotion_hub.serve.demo import mount_demo
from emotion_hub.ui import launch_options
from emotion_hub.ui.upload_limits import MAX_BODY, MAX_FIELDS
from tests.fakes.api_server import photo, predictor, running

EDGE = "a-boundary"
FORM = {"content-type": f"multipart/form-data; boundary={EDGE}"}


class Demo:
    """A running demo: `post` sends to an address of gradio's API, `files` lists its upload folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url.rstrip("/"), folder

    def post(self, address: str = "upload", **request: object) -> httpx.Response:
        return httpx.post(f"{self.url}/gradio_api/{address}", timeout=60, **request)

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.is_file()}


def page() -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Image()
    return blocks


@pytest.fixture(scope="module", params=["alone", "mounted"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setattr("tempfile.tempdir", str(folder))  # other addresses than /upload write there
        blocks = page()
        if request.param == "alone":
            _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
            yield Demo(url, folder)
            blocks.close()
        else:
            with running(mount_demo(create_app({"tiny": predictor()}), blocks, launch_options())) as client:
                yield Demo(f"{client.base_url}/demo", folder)


@pytest.fixture(autouse=True)
def no_leftover_files(demo: Demo, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves the folder unchanged, except for the one file of an accepted request."""
    before = demo.files()
    yield
    accepted = "accepted" in request.node.name
    deadline = time.monotonic() + 5
    while (left := demo.files() - before) and not accepted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(left) == 1 if accepted else not left


def part(name: str, content: bytes = b"x", filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


END = f"--{EDGE}--\r\n".encode()


def detail(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]


def test_one_file_is_accepted(demo: Demo) -> None:
    answer = demo.post(files={"files": ("face.png", photo())})
    assert answer.status_code == 200
    assert Path(answer.json()[0]).read_bytes() == photo()


@pytest.mark.parametrize("name", ["photo (1).png", "фото.jpg", "no extension", ""])
def test_names_that_browsers_send_are_accepted(demo: Demo, name: str) -> None:
    answer = demo.post(content=part("files", photo(), name) + END, headers=FORM)
    assert answer.status_code == 200
    assert Path(answer.json()[0]).read_bytes() == photo()


@pytest.mark.parametrize("count", [2, 1000])
def test_a_second_file_is_refused(demo: Demo, count: int) -> None:
    assert detail(demo.post(files=[("files", (f"{i}.png", b"x")) for i in range(count)])) == (
        400,
        "Send one file per request.",
    )


def test_two_large_files_are_refused_and_the_client_receives_the_reason(demo: Demo) -> None:
    body = part("files", bytes(6 * 2**20), "a.png") + part("files", bytes(6 * 2**20), "b.png") + END
    assert detail(demo.post(content=body, headers=FORM)) == (400, "Send one file per request.")


def test_a_second_file_is_refused_when_its_header_is_split_across_chunks(demo: Demo) -> None:
    body = part("files", photo(), "a.png") + part("files", photo(), "b.png") + END
    pieces = (body[i : i + 37] for i in range(0, len(body), 37))
    assert detail(demo.post(content=pieces, headers=FORM)) == (400, "Send one file per request.")


def test_a_file_over_the_size_limit_of_a_photo_is_refused(demo: Demo) -> None:
    answer = demo.post(files={"files": ("a.png", bytes(MAX_BYTES + 1))})
    assert (answer.status_code, "maximum allowed size" in answer.text) == (413, True)  # gradio's own message


def test_a_body_with_a_too_large_content_length_is_refused_before_it_is_received(demo: Demo) -> None:
    with socket.create_connection((urlsplit(demo.url).hostname, urlsplit(demo.url).port)) as line:
        line.settimeout(20)
        line.sendall(raw(demo, FORM | {"content-length": str(10**12)}))
        assert b" 413 " in line.recv(200)


def test_a_field_without_end_is_limited(demo: Demo) -> None:
    pieces = iter([part("x")[:-3], *[bytes(2**20)] * (MAX_BODY // 2**20 + 2)])
    assert detail(demo.post(content=pieces, headers=FORM))[0] == 413


def test_a_large_json_body_is_refused(demo: Demo) -> None:
    code, reason = detail(
        demo.post(
            "queue/join",
            content=b'{"data": ["' + b"A" * MAX_BODY + b'"]}',
            headers={"content-type": "application/json"},
        )
    )
    assert code == 413
    assert "send one picture of up to 10 MB" in reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (part("files", b"half of a photo", "a.png"), "cut short"),
        (part("files", b"half of a photo", "a.png")[:-1], "cut short"),
        (part("photo", b"x", "a.png") + END, "in the field 'files'"),
        (part("files", b"x", "..") + END, "name cannot be used"),
        (part("x") * (MAX_FIELDS + 1) + END, "more than 20 fields"),
        (b"no form at all", "cannot be read"),
    ],
    ids=["no end", "half a line", "another field", "no name", "many fields", "no form"],
)
def test_forms_whose_files_gradio_would_keep_are_refused(demo: Demo, body: bytes, words: str) -> None:
    code, reason = detail(demo.post(content=body, headers=FORM))
    assert code == 400
    assert words in reason


def test_an_interrupted_upload_leaves_no_file(demo: Demo) -> None:
    with socket.create_connection((urlsplit(demo.url).hostname, urlsplit(demo.url).port)) as line:
        line.sendall(raw(demo, FORM | {"content-length": "100000"}) + part("files", b"half of a photo" * 1000, "a.png"))
        time.sleep(0.5)


def test_other_addresses_accept_one_file_too(demo: Demo) -> None:
    body = part("files", photo(), "a.png") + part("more", photo(), "b.png") + END
    assert detail(demo.post("component_server", content=body, headers=FORM)) == (400, "Send one file per request.")


def raw(demo: Demo, headers: dict[str, str]) -> bytes:
    """The request line and headers of a POST to the upload address."""
    lines = [
        f"POST {urlsplit(demo.url).path}/gradio_api/upload HTTP/1.1",
        f"host: {urlsplit(demo.url).netloc}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()
