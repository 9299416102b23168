"""Image decoding: formats, orientation, transparency, limits, damaged files."""

from __future__ import annotations

import functools
import io
import logging
import random
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from emotion_hub.errors import ImageError, ImageTooLargeError, InputError
from emotion_hub.images import FORMATS, MAX_BYTES, MAX_PIXELS, crop, load_image, load_reduced

LOSSLESS = {"PNG": {}, "BMP": {}, "GIF": {}, "TIFF": {}, "WEBP": {"lossless": True}}
ORIENTATION = 0x0112
# how a camera stores an upright scene for each orientation: the inverse of the operation that the tag requests
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def _picture(width: int = 24, height: int = 16) -> Image.Image:
    """A smooth image, so that JPEG changes it little, with a different colour in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [40 + 180 * x / width, 30 + 200 * y / height, 220 - 90 * (x / width + y / height)]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def _file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _distance(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference in levels; the sizes must agree."""
    assert a.size == b.size
    return float(np.abs(np.asarray(a, dtype=np.int16) - np.asarray(b, dtype=np.int16)).mean())


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG file from parts; `colour` is 0 for gray and 2 for RGB; `rows` include their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + b"".join(extra)
        + _chunk(b"IDAT", zlib.compress(rows, 1))
        + _chunk(b"IEND", b"")
    )


def _gif_with_a_frame_of(width: int, height: int) -> bytes:
    """A GIF whose screen is one pixel and whose first frame declares a larger size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    return screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00\x3b"


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


# formats and sources


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("source_type", ["bytes", "bytearray", "memoryview", "str", "path", "file", "buffer", "pil"])
def test_every_format_is_read_from_every_source(tmp_path, kind, source_type):
    data = _file(_picture(), kind)
    path = tmp_path / "picture.bin"  # the suffix is not used
    path.write_bytes(data)
    with path.open("rb") as file:
        sources = {
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "str": str(path),
            "path": path,
            "file": file,
            "buffer": io.BytesIO(data),
            "pil": Image.open(io.BytesIO(data)),
        }
        image = load_image(sources[source_type])
    assert (image.mode, image.size, type(image)) == ("RGB", (24, 16), Image.Image)
    assert _distance(image, _picture()) < (0.01 if kind in ("PNG", "BMP", "TIFF") else 8)


@pytest.mark.parametrize(("kind", "options"), LOSSLESS.items(), ids=LOSSLESS)
def test_lossless_files_keep_every_pixel(kind, options):
    picture = _picture().convert("L").convert("RGB")  # GIF holds 256 colours
    assert load_image(_file(picture, kind, **options)).tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda rgb: rgb, id="uint8"),
        pytest.param(lambda rgb: rgb.astype(np.uint16) * 257, id="uint16"),
        pytest.param(lambda rgb: rgb.astype(np.float32) / 255, id="float32"),
        pytest.param(lambda rgb: rgb.astype(np.float64) / 255, id="float64"),
        pytest.param(lambda rgb: rgb.astype(np.float16) / 255, id="float16"),
        pytest.param(lambda rgb: np.asfortranarray(rgb), id="fortran order"),
        pytest.param(lambda rgb: rgb[::-1][::-1], id="strided view"),
        pytest.param(lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]), id="RGBA"),
        pytest.param(lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]) / 255.0, id="RGBA float"),
    ],
)
def test_colour_arrays_of_every_type_give_the_same_image(make):
    picture = _picture()
    array = make(np.asarray(picture))
    before = array.copy()
    image = load_image(array)
    assert image.mode == "RGB"
    assert image.tobytes() == picture.tobytes()
    assert np.array_equal(array, before)


@pytest.mark.parametrize("scale", [1, 257, 1 / 255])
@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 1)])
def test_gray_arrays_become_three_equal_channels(shape, scale):
    gray = np.asarray(_picture().convert("L")).reshape(shape)
    array = gray if scale == 1 else gray.astype(np.uint16) * np.uint16(257) if scale == 257 else gray / 255.0
    pixels = np.asarray(load_image(array))
    assert pixels.shape == (16, 24, 3)
    assert all(np.array_equal(pixels[..., c], gray.reshape(16, 24)) for c in range(3))


def test_an_image_of_one_pixel_is_read():
    assert load_image(np.array([[200]], dtype=np.uint8)).getpixel((0, 0)) == (200, 200, 200)
    for kind in FORMATS:
        assert load_image(_file(Image.new("RGB", (1, 1), "white"), kind)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "RGB", "RGBA", "LA", "PA", "La", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16", "RGBX"],
)
def test_every_mode_of_pillow_gives_a_new_rgb_image_and_is_not_changed(mode):
    source = (
        Image.new("I" if mode == "I;16" else mode, (5, 3)).convert("I;16")
        if mode == "I;16"
        else Image.new(mode, (5, 3))
    )
    before = (source.mode, source.size, source.tobytes(), dict(source.info))
    image = load_image(source)
    assert (image.mode, image.size) == ("RGB", (5, 3))
    image.putpixel((0, 0), (1, 2, 3))
    assert (source.mode, source.size, source.tobytes(), dict(source.info)) == before


def test_metadata_are_removed():
    exif = _exif(6)
    exif[0x010E] = "where it was taken"
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        image = load_image(_file(_picture(), kind, exif=exif, **({"comment": b"who it is"} if kind == "JPEG" else {})))
        assert (image.info, dict(image.getexif())) == ({}, {})
        assert load_image(image).tobytes() == image.tobytes()


def test_an_rgb_image_is_copied():
    source = _picture()
    image = load_image(source)
    assert image is not source
    image.paste((0, 0, 0), (0, 0, 24, 16))
    assert source.tobytes() == _picture().tobytes()


# orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_eight_orientations_give_the_same_upright_picture(kind, orientation):
    picture = _picture()
    stored = picture.transpose(STORED[orientation]) if orientation > 1 else picture
    data = _file(
        stored,
        kind,
        exif=_exif(orientation),
        **{"JPEG": {"quality": 95, "subsampling": 0}}.get(kind, LOSSLESS.get(kind, {})),
    )
    image = load_image(data)
    assert _distance(image, picture) < (4 if kind == "JPEG" else 0.01)
    assert image.getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("lazy", [True, False], ids=["opened", "in memory"])
def test_a_pil_image_with_an_orientation_is_made_upright_and_not_changed(orientation, lazy):
    picture = _picture()
    source = picture.transpose(STORED[orientation]) if orientation > 1 else picture.copy()
    if lazy:
        source = Image.open(io.BytesIO(_file(source, "PNG", exif=_exif(orientation))))
    else:
        source.getexif()[ORIENTATION] = orientation
    size = source.size
    assert load_image(source).tobytes() == picture.tobytes()
    assert source.size == size
    assert source.getexif()[ORIENTATION] == orientation
    assert load_image(source).tobytes() == picture.tobytes()


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_invalid_orientation_is_ignored(orientation):
    assert load_image(_file(_picture(), "PNG", exif=_exif(orientation))).tobytes() == _picture().tobytes()


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\x00\x00", id="empty"),
        pytest.param(b"Exif\x00\x00II*\x00\xff\xff\xff\xff", id="offset outside"),
        pytest.param(b"Exif\x00\x00" + bytes(range(256)), id="noise"),
        pytest.param(b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + bytes(40), id="too many entries"),
        pytest.param(_exif(6).tobytes()[:-9], id="cut short"),
    ],
)
def test_an_image_with_damaged_exif_is_read(exif):
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        for kind in ("JPEG", "WEBP"):
            assert load_image(_file(_picture(), kind, exif=exif)).size == (24, 16)


def test_an_orientation_beside_a_damaged_tag_is_still_applied(caplog):
    # orientation 6 is whole; the tag after it holds text where EXIF wants a number, which Pillow cannot write back
    entries = (
        struct.pack("<HHII", ORIENTATION, 3, 1, 6)
        + struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\x00")
        + struct.pack("<HHII", 0x8769, 2, 4, 0x41414141)
    )
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + struct.pack("<H", 3) + entries + bytes(4)
    stored = _picture().transpose(STORED[6])
    with warnings.catch_warnings(record=True), caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        assert _distance(load_image(_file(stored, "WEBP", exif=exif, lossless=True)), _picture()) < 0.01


# transparency


HIDDEN, SHOWN = (255, 0, 0), (0, 0, 255)


def _half_transparent() -> Image.Image:
    image = Image.new("RGBA", (8, 4), (*SHOWN, 255))
    image.paste((*HIDDEN, 0), (0, 0, 4, 4))
    return image


def _assert_flattened(image: Image.Image, shown: tuple[int, int, int] = SHOWN) -> None:
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 255, 255), "the colour under a transparent pixel shows"
    assert image.getpixel((7, 3)) == shown


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_hidden_colours_stay_hidden_in_rgba_files(kind):
    options = {"WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    _assert_flattened(load_image(_file(_half_transparent(), kind, **options)))


def test_hidden_colours_stay_hidden_in_pil_images_and_arrays():
    _assert_flattened(load_image(_half_transparent()))
    _assert_flattened(load_image(np.asarray(_half_transparent())))
    _assert_flattened(load_image(np.asarray(_half_transparent()) / 255.0))


def test_hidden_gray_stays_hidden():
    gray = Image.new("LA", (8, 4), (90, 255))
    gray.paste((10, 0), (0, 0, 4, 4))
    _assert_flattened(load_image(gray), (90, 90, 90))
    _assert_flattened(load_image(_file(gray, "PNG")), (90, 90, 90))


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"], ids=["one index", "alpha of each"])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "PIL"])
def test_hidden_palette_colours_stay_hidden(kind, transparency):
    image = Image.new("P", (8, 4), 1)
    image.putpalette([*HIDDEN, *SHOWN])
    image.paste(0, (0, 0, 4, 4))
    if kind == "GIF" and transparency != 0:
        transparency = 0
    if kind == "PIL":
        image.info["transparency"] = transparency
        _assert_flattened(load_image(image))
    else:
        _assert_flattened(load_image(_file(image, kind, transparency=transparency)))


def test_a_palette_with_alpha_hides_its_colours():
    image = _half_transparent().quantize(4, method=Image.Quantize.FASTOCTREE)
    assert (image.mode, image.palette.mode) == ("P", "RGBA")
    _assert_flattened(load_image(image))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_colour_of_a_png_is_hidden(mode):
    shown = Image.new("RGB", (8, 4), SHOWN)
    shown.paste(HIDDEN, (0, 0, 4, 4))
    shown = shown.convert(mode)
    data = _file(shown, "PNG", transparency=shown.getpixel((0, 0)))
    _assert_flattened(load_image(data), shown.convert("RGB").getpixel((7, 3)))


def test_a_transparent_gray_level_of_a_16_bit_png_is_hidden():
    row = b"\x00" + struct.pack(">8H", *[0x1234] * 4, *[0x8080] * 4)
    data = _png(8, 4, 16, 0, row * 4, _chunk(b"tRNS", struct.pack(">H", 0x1234)))
    _assert_flattened(load_image(data), (128, 128, 128))


def test_a_transparent_colour_of_a_16_bit_png_is_hidden():
    row = b"\x00" + struct.pack(">24H", *[0x1234, 0x5678, 0x9ABC] * 4, *[0, 0, 0xFFFF] * 4)
    data = _png(8, 4, 16, 2, row * 4, _chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)))
    _assert_flattened(load_image(data))
    with Image.open(io.BytesIO(data)) as opened:
        before = opened.info["transparency"]
        load_image(opened)
        assert opened.info["transparency"] == before, "the caller's picture is left as it is"


def test_half_transparent_pixels_are_mixed_with_white():
    assert load_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).getpixel((0, 0)) == (127, 127, 127)


# depth and colour


def test_a_cmyk_jpeg_keeps_its_colours():
    for colour in ((200, 40, 30), (30, 160, 60), (20, 40, 200)):
        source = Image.new("RGB", (16, 16), colour)
        assert _distance(load_image(_file(source.convert("CMYK"), "JPEG", quality=95)), source) < 6


def _gray16() -> np.ndarray:
    return np.linspace(0, 65535, 16 * 24).reshape(16, 24).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PIL", "big-endian TIFF", "hand PNG"])
def test_16_bit_gray_is_scaled_and_not_clipped_to_white(kind):
    values = _gray16()
    if kind == "hand PNG":
        data = _png(24, 16, 16, 0, b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values))
    elif kind == "big-endian TIFF":
        data = _file(Image.frombytes("I;16B", (24, 16), values.astype(">u2").tobytes()), "TIFF")
        assert data.startswith((b"MM", b"II"))
    else:
        image = Image.fromarray(values)
        data = image if kind == "PIL" else _file(image, kind)
    pixels = np.asarray(load_image(data))
    assert np.array_equal(pixels[..., 0], np.rint(values / 257.0))
    assert (pixels == 255).mean() < 0.02  # Pillow's own conversion clips everything above 255 of 65535


def test_16_bit_colour_is_scaled():
    rgb = np.asarray(_picture()).astype(np.uint16) * 257
    data = _png(24, 16, 16, 2, b"".join(b"\x00" + row.astype(">u2").tobytes() for row in rgb))
    assert load_image(data).tobytes() == _picture().tobytes()


def test_32_bit_integers_that_are_8_or_16_bit_values_are_scaled_and_others_refused():
    assert load_image(Image.fromarray(np.array([[0, 65535]], dtype=np.int32))).getpixel((1, 0)) == (255, 255, 255)
    assert load_image(Image.fromarray(np.array([[0, 255]], dtype=np.int32))).getpixel((1, 0)) == (255, 255, 255)
    for invalid in (-1, 70_000):
        with pytest.raises(ImageError, match=f"{invalid}.*scale"):
            load_image(Image.fromarray(np.array([[0, invalid]], dtype=np.int32)))


def test_float_images_must_be_from_0_to_1():
    assert load_image(Image.fromarray(np.array([[0, 1.0]], dtype=np.float32))).getpixel((1, 0)) == (255, 255, 255)
    with pytest.raises(ImageError, match="from 0 to 1"):
        load_image(Image.fromarray(np.array([[0, 255.0]], dtype=np.float32)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_of_an_animation_or_document_is_read(kind):
    frames = [Image.new("RGB", (8, 6), c) for c in ("red", "lime", "blue")]
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    data = _file(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert load_image(data).tobytes() == frames[0].tobytes()


# invalid images


def _noisy(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return _file(Image.fromarray(noise), kind)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_refused(kind, share):
    data = _noisy(kind)
    with warnings.catch_warnings(record=True):  # Pillow warns of some cut files besides failing
        warnings.simplefilter("always")
        with pytest.raises(ImageError, match=r"damaged or cut short|header cannot be read") as caught:
            load_image(data[: int(len(data) * share)])
    assert "again" in str(caught.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_first_bytes_of_a_file_are_refused(kind):
    data = _noisy(kind)
    for length in (1, 2, 3, 4, 8, 12, 16, 26, 40):
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            with pytest.raises(ImageError):
                load_image(data[:length])


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"just some words", "text", id="text"),
        pytest.param("Grüße".encode(), "text", id="utf-8"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", id="svg"),
        pytest.param(b"<?xml version='1.0'?>\n<svg/>", "SVG", id="svg with xml head"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3", "PDF", id="pdf"),
        pytest.param(b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIC", id="heic"),
        pytest.param(b"\x00\x00\x00\x18ftypavif" + bytes(40), "AVIF", id="avif"),
        pytest.param(random.Random(0).randbytes(5000), "a format that is not read here", id="random bytes"),
        pytest.param(bytes(1000), "", id="zeros"),
        pytest.param(b"RIFF\x24\x00\x00\x00WAVEfmt ", "", id="wav"),
    ],
)
def test_content_that_is_not_an_image_is_named_with_the_accepted_formats(data, named):
    for source in (data, io.BytesIO(data)):
        with pytest.raises(ImageError) as caught:
            load_image(source)
        assert named in str(caught.value)
        for kind in ("JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF"):
            assert kind in str(caught.value)


def test_other_formats_of_pillow_are_refused():
    for kind in ("PPM", "ICO", "TGA", "PCX", "JPEG2000", "SGI"):
        with pytest.raises(ImageError, match="not read here"):
            load_image(_file(Image.new("RGB", (16, 16)), kind))


@pytest.mark.parametrize(
    "source", [None, 3, 2.5, [[0, 1], [2, 3]], (1, 2), {"path": "x"}, object()], ids=lambda s: type(s).__name__
)
def test_an_object_that_is_not_an_image_is_named_by_its_type(source):
    with pytest.raises(ImageError, match=type(source).__name__) as caught:
        load_image(source)
    assert "NumPy array" in str(caught.value)


@pytest.mark.parametrize(
    ("array", "pattern"),
    [
        pytest.param(
            np.zeros((3, 48, 40), np.uint8), r"\(3, 48, 40\).*channels-first.*transpose\(1, 2, 0\)", id="channels first"
        ),
        pytest.param(np.zeros((1, 48, 40), np.float32), "channels-first", id="gray channels first"),
        pytest.param(np.zeros((2, 48, 48, 3), np.uint8), r"\(2, 48, 48, 3\) is not one picture", id="batch"),
        pytest.param(np.zeros((48,), np.uint8), r"\(48,\)", id="one axis"),
        pytest.param(np.zeros((), np.uint8), r"\(\)", id="scalar"),
        pytest.param(np.zeros((48, 48, 2), np.uint8), r"\(48, 48, 2\)", id="two channels"),
        pytest.param(np.zeros((0, 0), np.uint8), r"\(0, 0\)", id="empty"),
        pytest.param(np.zeros((0, 5, 3), np.float32), r"\(0, 5, 3\)", id="empty float"),
        pytest.param(np.zeros((4, 4), np.int64), "int64.*uint8", id="int64"),
        pytest.param(np.zeros((4, 4), bool), "bool", id="bool"),
        pytest.param(np.zeros((4, 4), complex), "complex", id="complex"),
        pytest.param(np.array([[object()]]), "object", id="objects"),
        pytest.param(np.array([["a"]]), "<U1", id="strings"),
        pytest.param(np.full((4, 4), np.nan), "from 0 to 1.*nan", id="nan"),
        pytest.param(np.array([[0, np.inf]]), "from 0 to 1.*inf", id="inf"),
        pytest.param(np.array([[-0.1, 0.5]]), "from 0 to 1.*-0.1", id="negative"),
        pytest.param(np.array([[0.0, 1.5]]), "from 0 to 1.*1.5", id="over 1"),
    ],
)
def test_an_invalid_array_is_named_with_the_rule(array, pattern):
    with pytest.raises(ImageError, match=pattern):
        load_image(array)


def test_the_message_for_a_url_says_to_download_it():
    with pytest.raises(ImageError, match="download it first") as caught:
        load_image("https://example.org/face.jpg")
    assert "face.jpg" in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"no file .*gone\.png.*check the path"):
        load_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        load_image("a\x00b.png")


def test_an_image_passed_as_text_is_not_repeated_in_the_message():
    with pytest.raises(ImageError, match="cannot be read") as caught:
        load_image("data:image/png;base64," + "iVBORw0KGgo" * 2000)
    assert len(str(caught.value)) < 600


def test_the_message_for_a_text_file_object_says_to_open_it_as_binary(tmp_path):
    text_file, picture = tmp_path / "words.txt", tmp_path / "face.jpg"
    text_file.write_text("plain")
    picture.write_bytes(_file(_picture(), "JPEG"))
    for path in (text_file, picture):
        with path.open(encoding="utf-8") as file, pytest.raises(ImageError, match="'rb'"):
            load_image(file)


def test_a_file_object_that_cannot_be_read_is_an_image_error(tmp_path):
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ImageError, match="closed"):
        load_image(closed)
    with (tmp_path / "new.png").open("wb") as file, pytest.raises(ImageError, match="read"):
        load_image(file)


def test_a_file_object_at_its_end_is_empty():
    file = io.BytesIO(_file(_picture(), "PNG"))
    file.read()
    with pytest.raises(ImageError, match="empty"):
        load_image(file)


def test_a_stream_with_short_reads_is_read_to_its_end():
    class Trickle(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(min(size, 7) if size >= 0 else 7)

    assert load_image(Trickle(_file(_picture(), "PNG"))).tobytes() == _picture().tobytes()


# limits


@pytest.fixture
def no_decoding(monkeypatch):
    """Makes a test fail when a pixel of a file is decoded."""

    def load(self):
        raise AssertionError(f"pixels of a {self.size} {self.format} were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


def _peak(call) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_png_of_12000_pixels_a_side_is_refused_from_its_header(no_decoding):
    header = (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 12000, 12000, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", b"")
    )

    def call():
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # no DecompressionBombWarning either
            with pytest.raises(ImageTooLargeError, match=r"12000x12000 = 144 megapixels; the limit is 40"):
                load_image(header)

    call()
    assert _peak(call) < 2**20


def test_a_whole_png_of_12000_pixels_a_side_is_refused_before_decoding(no_decoding, tmp_path):
    data = _png(12000, 12000, 1, 0, bytes(1501 * 12000))  # one bit per pixel: 18 MB inflated, some KB as a file
    assert len(data) < 200_000
    (tmp_path / "bomb.png").write_bytes(data)
    for source in (data, tmp_path / "bomb.png", io.BytesIO(data)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ImageTooLargeError, match="144 megapixels"):
                load_image(source)


def _bmp_header(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def _gif_header(width: int, height: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0, 0, 0)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, width, height, 0)
        + b"\x02"
    )


def _tiff_header(width: int, height: int) -> bytes:
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, 1),
    ]
    return (
        b"II*\x00\x08\x00\x00\x00"
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags)
        + bytes(4)
    )


def _jpeg_header(width: int, height: int) -> bytes:
    data = _file(Image.new("L", (8, 8)), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize("side", [7000, 12000, 20000, 60000])
@pytest.mark.parametrize(
    "make", [_bmp_header, _gif_header, _tiff_header, _jpeg_header, _gif_with_a_frame_of], ids=lambda f: f.__name__[1:]
)
def test_every_format_is_refused_from_its_header(no_decoding, make, side):
    data = make(side, side)
    assert len(data) < 1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageTooLargeError, match=r"limit is 40"):
            load_image(data)


def test_the_pixel_limit_itself_is_allowed(monkeypatch):
    monkeypatch.setattr("emotion_hub.image_limits.MAX_PIXELS", 24 * 16)
    assert load_image(_file(_picture(), "PNG")).size == (24, 16)
    assert load_image(np.asarray(_picture())).size == (24, 16)
    for source in (_file(_picture(25, 16), "PNG"), np.asarray(_picture(25, 16)), _picture(25, 16)):
        with pytest.raises(ImageTooLargeError, match="25x16"):
            load_image(source)


def test_an_array_over_the_pixel_limit_is_refused_before_it_is_copied():
    array = np.broadcast_to(np.uint8(0), (8000, 8000, 3))

    def call():
        with pytest.raises(ImageTooLargeError, match="8000x8000"):
            load_image(array)

    assert _peak(call) < 2**20
    assert MAX_PIXELS == 40_000_000


def test_a_pillow_limit_set_by_another_program_changes_nothing(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(_file(_picture(), "PNG")).size == (24, 16)


def test_more_bytes_than_the_limit_are_refused(tmp_path):
    assert MAX_BYTES == 10 * 1024 * 1024
    data = _file(_picture(), "PNG") + bytes(MAX_BYTES)
    path = tmp_path / "long.png"
    path.write_bytes(data)
    for source in (data, path, str(path), io.BytesIO(data)):
        with pytest.raises(ImageTooLargeError, match="limit is 10 MB"):
            load_image(source)


def test_exactly_the_byte_limit_is_allowed():
    data = _file(_picture(), "PNG")
    data += bytes(MAX_BYTES - len(data))
    assert load_image(data).size == load_image(io.BytesIO(data)).size == (24, 16)


def test_a_path_over_the_byte_limit_is_never_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(2**33)  # sparse: 8 GB of nothing
    monkeypatch.setattr(Path, "open", lambda *a, **k: pytest.fail("the file was opened"))
    with pytest.raises(ImageTooLargeError, match=r"'huge\.png' has 8192\.0 MB"):
        load_image(path)


def test_at_most_the_limit_is_read_from_a_file_object():
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert size >= 0, "a file object is never read without a limit"
            self.given += size
            return bytes(size)

    source = Endless()
    with pytest.raises(ImageTooLargeError, match="limit is 10 MB"):
        load_image(source)
    assert source.given == MAX_BYTES + 1


# crop


def test_a_box_inside_gives_its_pixels():
    picture = _picture()
    assert crop(picture, (3, 2, 10, 9)).tobytes() == picture.crop((3, 2, 10, 9)).tobytes()
    assert crop(picture, (0, 0, 24, 16)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "box",
    [
        (-5, 2, 10, 9),
        (3, -4, 10, 9),
        (20, 2, 31, 9),
        (3, 10, 9, 23),
        (-3, -4, 30, 20),
        (-50, -60, 1, 1),
        (23, 15, 40, 44),
    ],
    ids=["left", "top", "right", "bottom", "all", "top left corner", "bottom right corner"],
)
def test_edge_pixels_are_repeated_outside_the_image(mode, box):
    picture = _picture().convert(mode)
    part = crop(picture, box)
    assert (part.mode, part.size) == (mode, (box[2] - box[0], box[3] - box[1]))
    for y in range(part.height):
        for x in range(part.width):
            inside = (min(max(x + box[0], 0), 23), min(max(y + box[1], 0), 15))
            assert part.getpixel((x, y)) == picture.getpixel(inside)


@pytest.mark.parametrize(
    "box", [(24, 0, 30, 5), (-9, 0, 0, 5), (0, 16, 5, 20), (0, -5, 5, 0), (5, 5, 5, 9), (9, 5, 5, 9), (5, 9, 9, 5)]
)
def test_a_box_that_is_empty_or_outside_is_refused_with_the_size(box):
    with pytest.raises(InputError, match="does not touch the 24x16 image") as caught:
        crop(_picture(), box)
    assert str(box) in str(caught.value)


def test_crop_does_not_change_the_image():
    picture = _picture()
    crop(picture, (0, 0, 24, 16)).paste((0, 0, 0), (0, 0, 24, 16))
    assert picture.tobytes() == _picture().tobytes()


# robustness


@functools.cache
def _samples() -> dict[str, bytes]:
    picture = _picture(20, 14)

    def pages() -> dict:  # new images each time: saving as JPEG leaves settings on an image that fail in TIFF
        return {
            "save_all": True,
            "append_images": [_picture(20, 14).transpose(Image.Transpose.ROTATE_180), _picture(20, 14)],
        }

    alpha = picture.convert("RGBA")
    alpha.putalpha(128)
    return {
        "jpeg": _file(picture, "JPEG", exif=_exif(6)),
        "jpeg progressive": _file(picture, "JPEG", progressive=True),
        "jpeg cmyk": _file(picture.convert("CMYK"), "JPEG"),
        "jpeg mpo": _file(picture, "MPO", **pages()),
        "png": _file(picture, "PNG", exif=_exif(8)),
        "png alpha": _file(alpha, "PNG"),
        "png palette": _file(picture.quantize(8), "PNG", transparency=0),
        "png 16": _file(Image.fromarray(_gray16()), "PNG"),
        "png animated": _file(picture, "PNG", **pages()),
        "webp": _file(picture, "WEBP", exif=_exif(3)),
        "webp lossless": _file(alpha, "WEBP", lossless=True),
        "webp animated": _file(picture, "WEBP", **pages()),
        "bmp": _file(picture, "BMP"),
        "bmp palette": _file(picture.quantize(8), "BMP"),
        "gif": _file(picture, "GIF"),
        "gif animated": _file(picture, "GIF", transparency=0, **pages()),
        "tiff": _file(picture, "TIFF", exif=_exif(5)),
        "tiff lzw": _file(picture, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": _file(picture, "TIFF", compression="jpeg"),
        "tiff pages": _file(alpha, "TIFF", **pages()),
        "tiff 16": _file(Image.fromarray(_gray16()), "TIFF", compression="tiff_adobe_deflate"),
    }


def _damage(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(damaged)) if dice.random() < 0.5 else dice.randrange(min(64, len(damaged)))
        kind = dice.random()
        if kind < 0.6:
            damaged[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind < 0.75:
            damaged[at : at + dice.randint(1, 8)] = dice.randbytes(dice.randint(0, 8))
        elif kind < 0.9:
            damaged[at : at + 4] = dice.choice(
                (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
            )
        elif len(damaged) > 40:
            del damaged[dice.randrange(16, len(damaged)) :]
    return bytes(damaged)


# Warnings of Pillow 12 about damaged metadata, besides the returned image or the error. The package does not suppress
# them, because `warnings.catch_warnings` is not safe in threads.
PILLOW_WARNS = (
    "Corrupt EXIF data",
    "Image appears to be a malformed MPO file",
    "Invalid APNG",
    "Metadata Warning",
    "Truncated File Read",
)


@pytest.mark.parametrize("filter_action", ["always", "error"])
@pytest.mark.parametrize("name", list(_samples()))
def test_damaged_files_give_an_image_or_an_image_error(name, filter_action):
    data = _samples()[name]
    assert load_image(data).mode == "RGB"
    dice = random.Random(f"damage {name}")
    outcomes = {"picture": 0, "error": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(filter_action)
        for i in range(300):
            damaged = _damage(data, dice)
            try:
                image = load_image(damaged)
            except ImageError:
                outcomes["error"] += 1
            except BaseException as error:
                raise AssertionError(f"damage {i} of {name}: {error!r} from {damaged.hex()}") from error
            else:
                assert image.mode == "RGB"
                assert image.width * image.height <= MAX_PIXELS
                outcomes["picture"] += 1
    unknown = {
        str(w.message) for w in caught if not (w.category is UserWarning and str(w.message).startswith(PILLOW_WARNS))
    }
    assert not unknown, "Pillow warns of something new"
    assert outcomes["error"] > 0, "the damage does no harm"


# reduced decoding


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((400, 300), 200, (200, 150)),
        ((400, 300), 201, (400, 300)),
        ((400, 300), 100, (100, 75)),
        ((401, 300), 50, (51, 38)),
        ((300, 400), 90, (75, 100)),
        ((4000, 1), 100, (4000, 1)),  # Pillow reduces no side below one pixel
    ],
)
def test_a_jpeg_is_reduced_to_at_least_the_requested_long_side(size, side, expected):
    image, full = load_reduced(_file(_picture(*size), "JPEG"), side)
    assert (image.size, full, image.mode, image.info) == (expected, size, "RGB", {})
    assert _distance(image, _picture(*size).resize(expected, Image.Resampling.BOX)) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_full_size_of_a_reduced_jpeg_is_the_upright_one(orientation):
    data = _file(_picture(397, 402), "JPEG", exif=_exif(orientation))
    image, full = load_reduced(data, 100)
    upright = load_image(data)
    assert full == upright.size == ((402, 397) if orientation > 4 else (397, 402))
    assert image.size == ((101, 100) if orientation > 4 else (100, 101))
    assert _distance(image, upright.resize(image.size, Image.Resampling.BOX)) < 4


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "JPEG"])
def test_other_formats_are_decoded_at_their_full_size(kind):
    image, full = load_reduced(_file(_picture(400, 300), kind), 50)
    assert image.size == full == (400, 300)
    assert (
        load_reduced(np.zeros((300, 400), np.uint8), 50)[1]
        == load_reduced(Image.new("L", (400, 300)), 50)[1]
        == (400, 300)
    )


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_reduced_jpeg_of_every_mode_is_rgb(mode):
    image, _ = load_reduced(_file(_picture(400, 300).convert(mode), "JPEG"), 100)
    full = load_image(_file(_picture(400, 300).convert(mode), "JPEG"))
    assert (image.mode, image.size) == ("RGB", (100, 75))
    assert _distance(image, full.resize((100, 75), Image.Resampling.BOX)) < 4


def test_the_first_of_several_images_in_one_jpeg_file_is_reduced():
    first, second = _picture(400, 300), Image.new("RGB", (400, 300), "red")
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    image, full = load_reduced(buffer.getvalue(), 100)
    assert (image.size, full) == ((100, 75), (400, 300))
    assert _distance(image, first.resize((100, 75), Image.Resampling.BOX)) < 4


def test_reduced_decoding_keeps_every_limit(no_decoding, monkeypatch):
    from tests.fakes.hostile_files import many_segment_jpeg, scan_bomb

    for data in (scan_bomb(100), many_segment_jpeg(100_000)):
        with pytest.raises(ImageError):
            load_reduced(data, 1)
    with pytest.raises(ImageTooLargeError):
        load_reduced(b"\xff\xd8\xff" + bytes(MAX_BYTES), 1)
    data = _file(_picture(400, 300), "JPEG")
    monkeypatch.setattr("emotion_hub.image_limits.MAX_PIXELS", 400 * 300 - 1)
    with pytest.raises(ImageTooLargeError, match="400x300"):
        load_reduced(data, 50)


def test_a_truncated_jpeg_is_refused_at_a_reduced_size():
    data = _file(_picture(800, 600), "JPEG")
    with pytest.raises(ImageError, match="damaged or cut short"):
        load_reduced(data[: len(data) // 2], 100)
