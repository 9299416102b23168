"""Decompression bombs and crashing files are refused by every entry point."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from emotion_hub import file_structure
from emotion_hub.__main__ import main
from emotion_hub.batch import predict_many
from emotion_hub.errors import ImageError
from emotion_hub.images import load_image
from emotion_hub.serve import EndpointHandler, ServeConfig, create_app
from tests.fakes.api_server import Boxes, photo, predictor, running
from tests.fakes.hostile_files import (
    many_block_gif,
    many_chunk_png,
    many_segment_jpeg,
    many_strip_tiff,
    no_palette_png,
    progressive_jpeg,
    run_length_bmp,
    scan_bomb,
    tiff_of,
    too_transparent_png,
)

#: Largest duration of a refusal, in seconds.
LIMIT = 2.0

SLOW = {
    "scans": (lambda: scan_bomb(100), "more than 32 scans"),
    "thousands of scans": (lambda: scan_bomb(8000), "more than 32 scans"),
    "scans in a TIFF": (lambda: tiff_of(scan_bomb(60)), "more than 32 scans"),
    "JPEG segments": (lambda: many_segment_jpeg(1_000_000), "segments before its pixels"),
    "PNG chunks": (lambda: many_chunk_png(800_000), "more than 20000 chunks"),
    "GIF blocks": (lambda: many_block_gif(1_900_000), "blocks before its first frame"),
    "run-length BMP": (run_length_bmp, "run-length encoded"),
    "TIFF strips": (lambda: many_strip_tiff(1_000_000), "strips, more than"),
}
BROKEN = {"transparency": too_transparent_png, "palette": no_palette_png}


@pytest.mark.parametrize("name", SLOW)
def test_a_file_that_would_take_too_long_is_refused_before_decoding(name: str) -> None:
    make, pattern = SLOW[name]
    data = make()
    assert len(data) < 10 * 2**20
    started = time.monotonic()
    with pytest.raises(ImageError, match=pattern):
        load_image(data)
    assert time.monotonic() - started < LIMIT


@pytest.mark.parametrize("name", BROKEN)
def test_a_png_whose_parts_contradict_each_other_is_an_image_error(name: str) -> None:
    with pytest.raises(ImageError, match="damaged") as caught:
        load_image(BROKEN[name]())
    assert "AssertionError" not in str(caught.value)


def test_an_image_that_pillow_has_opened_and_not_decoded_is_checked_too() -> None:
    image = Image.open(io.BytesIO(scan_bomb(100)))
    with pytest.raises(ImageError, match="more than 32 scans"):
        load_image(image)
    harmless = Image.open(io.BytesIO(progressive_jpeg(64)))
    assert load_image(harmless).size == (64, 64)


def _saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert(options.pop("mode", "L")).save(buffer, kind, **options)
    return buffer.getvalue()


def _with_thumbnails() -> bytes:
    """A JPEG with bytes in an APP1 segment that look like scans, as those of previews do."""
    data, content = progressive_jpeg(64), b"\xff\xda\x00\x08" * 5000
    return data[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(progressive_jpeg(64), id="progressive"),
        pytest.param(_saved("JPEG", mode="RGB", progressive=True), id="progressive in colour"),
        pytest.param(scan_bomb(file_structure.MAX_SCANS - 10, 64), id="many scans"),
        pytest.param(_with_thumbnails(), id="previews in metadata"),
        pytest.param(many_segment_jpeg(900), id="much metadata"),
        pytest.param(many_chunk_png(15_000), id="PNG in small chunks"),
        pytest.param(many_block_gif(3_000), id="GIF with long comments"),
        pytest.param(many_strip_tiff(6_000), id="TIFF of a strip per row"),
        pytest.param(_saved("TIFF", compression="jpeg"), id="TIFF of one JPEG strip"),
        pytest.param(_saved("TIFF", compression="jpeg", tiffinfo={278: 16}), id="TIFF of many JPEG strips"),
        pytest.param(_saved("BMP"), id="BMP"),
    ],
)
def test_files_as_common_programs_write_them_are_read(data: bytes) -> None:
    assert min(load_image(data).size) >= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_strips_of_a_big_tiff_are_counted(order: str) -> None:
    """BigTIFF has the version 43, offsets of 8 bytes and entries of 20."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ", 43, 8, 0, 16)
    entry = struct.pack(order + "HHQQ", 273, 16, file_structure.MAX_STRIPS + 1, 0)
    data = head + struct.pack(order + "Q", 1) + entry
    with pytest.raises(ImageError, match="20,001 strips, more than 20,000"):
        file_structure.check_structure("TIFF", data, "it")
    fewer = struct.pack(order + "HHQQ", 273, 16, file_structure.MAX_STRIPS, 0)
    file_structure.check_structure("TIFF", data.replace(entry, fewer), "it")


@pytest.mark.parametrize("cut", [0, 1, 2, 4, 8, 9, 11, 14, 16, 30, 33])
def test_a_truncated_structure_is_left_to_the_decoder(cut: int) -> None:
    for data in (_saved("PNG"), _saved("GIF"), _saved("BMP"), _saved("TIFF"), progressive_jpeg(64)):
        for name in ("BMP", "GIF", "JPEG", "PNG", "TIFF"):
            file_structure.check_structure(name, data[:cut], "it")


# every entry point


def _json(client: httpx.Client, data: bytes) -> httpx.Response:
    return client.post("/predict", json={"image": base64.b64encode(data).decode()})


HTTP: dict[str, Callable[[httpx.Client, bytes], httpx.Response]] = {
    "multipart": lambda client, data: client.post("/predict", files={"image": ("a.jpg", data)}),
    "json": _json,
    "raw": lambda client, data: client.post("/predict", content=data, headers={"content-type": "image/jpeg"}),
    "inference": lambda client, data: client.post("/", content=data),
    "compare": lambda client, data: client.post(
        "/compare?native48=tiny&upscale224=tiny", files={"image": ("a.jpg", data)}
    ),
    "explain": lambda client, data: client.post("/explain", files={"image": ("a.jpg", data)}),
}


def _attacks() -> dict[str, bytes]:
    return {"scans": scan_bomb(2000), **{name: make() for name, make in BROKEN.items()}}


def test_the_server_refuses_hostile_files_with_400_in_every_request_format() -> None:
    with running(create_app({"tiny": predictor()})) as client:
        for name, data in _attacks().items():
            for request_format, post in HTTP.items():
                started = time.monotonic()
                answer = post(client, data)
                assert (answer.status_code, time.monotonic() - started < LIMIT) == (400, True), (
                    name,
                    request_format,
                    answer.text,
                )
                assert "decode" in answer.json()["error"] or "damaged" in answer.json()["error"]


def test_the_library_the_command_line_and_the_endpoint_refuse_hostile_files(tmp_path, capsys) -> None:
    tiny = predictor()
    for name, data in _attacks().items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        for call in (lambda: tiny.predict(path), lambda: EndpointHandler(predictor=tiny)({"inputs": data})):  # noqa: B023  called at once
            started = time.monotonic()
            with pytest.raises(ImageError):
                call()
            assert time.monotonic() - started < LIMIT
        assert main(["predict", str(path), "--no-detect"]) == 1
        output = capsys.readouterr()
        assert path.name in output.err
        assert "Traceback" not in output.out + output.err


def test_the_demo_refuses_hostile_files(tmp_path) -> None:
    pytest.importorskip("gradio")
    from emotion_hub.ui.predict import predict_html

    for name, data in _attacks().items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        started = time.monotonic()
        page, faces = predict_html(str(path), "native48", True)
        assert (faces, time.monotonic() - started < LIMIT) == ([], True)
        assert "cannot be read" in page


def test_batch_prediction_writes_an_error_row_for_each_hostile_file(tmp_path) -> None:
    for name, data in _attacks().items():
        (tmp_path / f"{name}.png").write_bytes(data)
    (tmp_path / "usual.png").write_bytes(photo())
    summary = predict_many(tmp_path, tmp_path / "out.parquet", models=["emotion_cnn"], backend="onnx", detector=Boxes())
    assert (summary.pictures, summary.errors, summary.faces) == (4, 3, 2)


def test_any_exception_of_one_image_becomes_its_error_row(tmp_path) -> None:
    class Fails(Boxes):
        """Raises an unexpected error for images of one size."""

        def detect(self, image: Image.Image) -> list:
            if image.width == 77:
                raise ZeroDivisionError("unexpected")
            return super().detect(image)

    for number, width in enumerate((120, 77, 120)):
        (tmp_path / f"{number}.png").write_bytes(photo(number, (width, 100)))
    out = tmp_path / "out.parquet"
    summary = predict_many(tmp_path, out, models=["emotion_cnn"], backend="onnx", detector=Fails())
    assert (summary.pictures, summary.errors) == (3, 1)
    import pyarrow.parquet

    errors = [row["error"] for row in pyarrow.parquet.read_table(out).to_pylist() if row["error"]]
    assert errors == ["ZeroDivisionError: unexpected"]


# concurrent requests


def test_other_requests_are_served_during_twenty_bombs_and_five_endless_bodies() -> None:
    bomb, over = scan_bomb(8000), threading.Event()
    app = create_app({"tiny": predictor()}, config=ServeConfig(workers=2, body_timeout=30))

    def endless(base: httpx.URL) -> str:
        def body():
            while not over.is_set():
                yield bytes(65536)

        try:
            with httpx.Client(base_url=base, timeout=60) as mine:
                return str(mine.post("/predict", content=body(), headers={"content-type": "image/jpeg"}).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    with running(app) as client, ThreadPoolExecutor(10) as pool:
        bodies = [pool.submit(endless, client.base_url) for _ in range(5)]
        bombs = [
            pool.submit(
                lambda: client.post("/predict", content=bomb, headers={"content-type": "image/jpeg"}).status_code
            )
            for _ in range(20)
        ]
        durations = []
        for seed in range(20):
            started = time.monotonic()
            assert (
                client.post("/predict", content=photo(seed), headers={"content-type": "image/png"}).status_code == 200
            )
            durations.append(time.monotonic() - started)
        assert [one.result() for one in bombs] == [400] * 20
        ended = [one.result(timeout=20) for one in bodies]  # long before body_timeout, and without `over`
        over.set()
    assert sorted(durations)[10] < 1.0, durations
    assert set(ended) <= {"413", "WriteError", "ReadError", "RemoteProtocolError"}, ended


def test_json_of_an_error_is_plain_text() -> None:
    with running(create_app({"tiny": predictor()})) as client:
        body = client.post("/predict", content=no_palette_png(), headers={"content-type": "image/png"})
    assert set(json.loads(body.text)) == {"error"}
