"""Preprocessing: configuration, resizing, normalisation, and golden arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from emotion_hub.errors import ConfigError, InputError, UnknownModelError
from emotion_hub.preprocess import FILTERS, NATIVE48, PREPROCESSING, RGB48, UPSCALE224, PreprocessConfig, Preprocessor

CONFIGS = [NATIVE48, RGB48, UPSCALE224]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LANCZOS = Image.Resampling.LANCZOS

each_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)


def _pixels(side: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def test_the_three_configurations_have_the_designed_values():
    assert PreprocessConfig("native48", 48, 1, (0.5,), (0.5,), 48, "lanczos", "lanczos") == NATIVE48
    assert PreprocessConfig("rgb48", 48, 3, IMAGENET_MEAN, IMAGENET_STD, 48, "lanczos", "lanczos") == RGB48
    assert PreprocessConfig("upscale224", 224, 3, IMAGENET_MEAN, IMAGENET_STD, 48, "lanczos", "lanczos") == UPSCALE224
    assert PREPROCESSING == {"native48": NATIVE48, "rgb48": RGB48, "upscale224": UPSCALE224}
    assert FILTERS == {"lanczos": LANCZOS, "bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


# the configuration


@each_config
def test_a_configuration_round_trips_through_json(config):
    other = dataclasses.replace(config, face_size=None, upsample="bicubic", mean=[0.25] * config.channels)
    for one in (config, other):
        assert PreprocessConfig.from_json(one.to_json()) == one
        assert PreprocessConfig.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert isinstance(config.to_dict()["mean"], list)
    assert hash(PreprocessConfig.from_json(config.to_json())) == hash(config)


def test_unknown_and_missing_keys_are_named():
    values = NATIVE48.to_dict()
    with pytest.raises(ConfigError, match=r"unknown.*'flip', 'interpolation'.*resample"):
        PreprocessConfig.from_dict({**values, "interpolation": "area", "flip": 0.5})
    with pytest.raises(ConfigError, match="lacks 'mean', 'std'"):
        PreprocessConfig.from_dict({k: v for k, v in values.items() if k not in ("mean", "std")})


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"native48"', "null"])
def test_json_that_is_not_a_configuration_is_a_config_error(text):
    with pytest.raises(ConfigError):
        PreprocessConfig.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 0),
        ("size", 7),
        ("size", 1025),
        ("size", 48.0),
        ("size", "48"),
        ("size", True),
        ("size", None),
        ("face_size", 0),
        ("face_size", 47.5),
        ("channels", 2),
        ("channels", "1"),
        ("channels", True),
        ("channels", 1.0),
        ("mean", (0.5, 0.5)),
        ("mean", ()),
        ("mean", 0.5),
        ("mean", None),
        ("mean", ("a",)),
        ("mean", (float("nan"),)),
        ("std", (0.0,)),
        ("std", (-0.5,)),
        ("std", (float("nan"),)),
        ("std", (float("inf"),)),
        ("std", ()),
        ("resample", "nearest"),
        ("resample", None),
        ("resample", ["lanczos"]),
        ("upsample", "LANCZOS"),
        ("name", 3),
    ],
)
def test_an_invalid_value_is_named_with_its_field(field, value):
    with pytest.raises(ConfigError, match=f"^{field}="):
        dataclasses.replace(NATIVE48, **{field: value})


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NATIVE48.size = 64


def test_an_unknown_preprocessing_lists_the_known_ones():
    with pytest.raises(UnknownModelError, match=r"'native64'.*native48, rgb48, upscale224"):
        Preprocessor("native64")
    assert Preprocessor("rgb48").config is RGB48
    assert Preprocessor().config is NATIVE48


# prepare


def test_a_gray_face_of_48_pixels_passes_unchanged():
    pixels = _pixels()
    assert Preprocessor(NATIVE48).prepare(Image.fromarray(pixels)).tobytes() == pixels.tobytes()
    rgb = np.asarray(Preprocessor(RGB48).prepare(Image.fromarray(pixels)))
    assert all(np.array_equal(rgb[..., c], pixels) for c in range(3))


@each_config
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_the_prepared_face_has_the_size_and_mode_of_the_configuration(face_image, config, mode):
    face = face_image.convert(mode)
    before = face.tobytes()
    prepared = Preprocessor(config).prepare(face)
    assert prepared.size == (config.size, config.size)
    assert prepared.mode == ("L" if config.channels == 1 else "RGB")
    assert face.tobytes() == before


def test_colour_is_converted_to_mode_l_and_resized_with_lanczos(face_image):
    assert (
        Preprocessor(NATIVE48).prepare(face_image).tobytes()
        == face_image.convert("L").resize((48, 48), LANCZOS).tobytes()
    )


@pytest.mark.parametrize(("width", "height"), [(30, 48), (48, 30), (31, 48), (48, 47), (1, 48)])
def test_a_face_that_is_not_square_is_padded_at_its_edges_and_not_stretched(width, height):
    pixels = _pixels()[:height, :width]
    prepared = np.asarray(Preprocessor(NATIVE48).prepare(Image.fromarray(pixels)))
    left, top = (48 - width) // 2, (48 - height) // 2
    pad = ((top, 48 - height - top), (left, 48 - width - left))
    assert np.array_equal(prepared, np.pad(pixels, pad, mode="edge"))


def test_a_wide_face_is_padded_before_it_is_resized(face_image):
    wide = face_image.convert("L").crop((0, 20, 120, 100))
    square = Image.fromarray(np.pad(np.asarray(wide), ((20, 20), (0, 0)), mode="edge"))
    assert Preprocessor(NATIVE48).prepare(wide).tobytes() == square.resize((48, 48), LANCZOS).tobytes()
    assert Preprocessor(NATIVE48).prepare(wide).tobytes() != wide.resize((48, 48), LANCZOS).tobytes()


@pytest.mark.parametrize("size", [(40_000, 2), (2, 1_000_000)])
def test_a_very_long_image_is_refused_before_it_is_padded(size):
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]}"):
        Preprocessor(NATIVE48).prepare(Image.new("L", size))


def test_upscaling_goes_through_48_pixels(face_image):
    face = face_image.resize((200, 200), LANCZOS)
    prepared = Preprocessor(UPSCALE224).prepare(face)
    through48 = face.convert("L").resize((48, 48), LANCZOS).convert("RGB").resize((224, 224), LANCZOS)
    direct = face.convert("L").convert("RGB").resize((224, 224), LANCZOS)
    assert prepared.tobytes() == through48.tobytes()
    assert np.abs(np.asarray(prepared, dtype=int) - np.asarray(direct, dtype=int)).max() > 20
    assert Preprocessor(dataclasses.replace(UPSCALE224, face_size=None)).prepare(face).tobytes() == direct.tobytes()


def test_the_native_and_the_upscaled_network_see_the_same_face(face_image):
    native = Preprocessor(NATIVE48).prepare(face_image)
    upscaled = Preprocessor(UPSCALE224)
    assert upscaled.prepare(face_image).tobytes() == upscaled.prepare(native).tobytes()


@pytest.mark.parametrize("kind", FILTERS)
def test_three_replicated_channels_are_resized_like_one_channel(kind):
    gray = Image.fromarray(_pixels())
    one = np.asarray(gray.resize((224, 224), FILTERS[kind]))
    three = np.asarray(gray.convert("RGB").resize((224, 224), FILTERS[kind]))
    assert all(np.array_equal(three[..., c], one) for c in range(3))


@pytest.mark.parametrize(
    ("field", "config"), [("resample", NATIVE48), ("resample", UPSCALE224), ("upsample", UPSCALE224)]
)
@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
def test_another_filter_gives_other_pixels(face_image, field, config, kind):
    default, other = (
        Preprocessor(config)(face_image),
        Preprocessor(dataclasses.replace(config, **{field: kind}))(face_image),
    )
    assert np.abs(default - other).max() > 1 / 255


@pytest.mark.parametrize("face", [np.zeros((48, 48), np.uint8), None, "face.png", b""], ids=lambda f: type(f).__name__)
def test_prepare_takes_decoded_images_only(face):
    with pytest.raises(InputError, match=rf"not {type(face).__name__}.*load_image"):
        Preprocessor().prepare(face)


# to_array and normalise


@each_config
def test_the_array_is_float32_chw_and_normalised_per_channel(config):
    side = config.size
    plane = np.tile(np.arange(side, dtype=np.uint8), (side, 1))
    plane[:2, :2] = 0
    plane[-2:, -2:] = 255
    prepared = Image.fromarray(plane).convert("L" if config.channels == 1 else "RGB")
    array = Preprocessor(config).to_array(prepared)
    assert (array.dtype, array.shape) == (np.float32, (config.channels, side, side))
    for c in range(config.channels):
        np.testing.assert_allclose(array[c], (plane / 255 - config.mean[c]) / config.std[c], atol=1e-6)


def test_native48_values_are_from_minus_one_to_one():
    array = Preprocessor(NATIVE48)(Image.fromarray(np.repeat(np.uint8([0, 255]), 24 * 48).reshape(48, 48)))
    assert (array.min(), array.max()) == (-1.0, 1.0)


def test_to_array_keeps_three_different_channels_apart():
    rgb = Image.merge("RGB", [Image.fromarray(_pixels(seed=s)) for s in range(3)])
    array = Preprocessor(RGB48).to_array(rgb)
    for c in range(3):
        np.testing.assert_allclose(array[c], (_pixels(seed=c) / 255 - IMAGENET_MEAN[c]) / IMAGENET_STD[c], atol=1e-6)


@each_config
def test_calling_equals_to_array_of_prepare_and_batch_stacks_faces(face_image, config):
    preprocessor = Preprocessor(config)
    faces = [face_image, face_image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.fromarray(_pixels())]
    arrays = [preprocessor.to_array(preprocessor.prepare(f)) for f in faces]
    assert np.array_equal(preprocessor(face_image), arrays[0])
    batch = preprocessor.batch(iter(faces))
    assert batch.dtype == np.float32
    assert np.array_equal(batch, np.stack(arrays))
    assert preprocessor.batch([]).shape == (0, config.channels, config.size, config.size)


@each_config
def test_a_stack_of_planes_is_normalised_bit_for_bit_like_each_face(face_image, config):
    preprocessor = Preprocessor(config)
    prepared = [
        preprocessor.prepare(f)
        for f in (
            face_image,
            Image.fromarray(_pixels()),
            Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)),
        )
    ]
    planes = np.stack([np.asarray(p.convert("L")) for p in prepared])
    stacked = preprocessor.normalise(planes)
    assert stacked.dtype == np.float32
    assert stacked.shape == (3, config.channels, config.size, config.size)
    for one, image in zip(stacked, prepared, strict=True):
        assert one.tobytes() == preprocessor.to_array(image).tobytes()
    assert preprocessor.normalise(planes[0]).tobytes() == stacked[0].tobytes()


def test_normalise_takes_gray_levels_only():
    with pytest.raises(InputError, match="float32"):
        Preprocessor().normalise(np.zeros((1, 48, 48), np.float32))


@pytest.mark.parametrize(("mode", "size"), [("RGB", (48, 48)), ("L", (47, 48)), ("L", (224, 224))])
def test_to_array_names_an_image_that_was_not_prepared(mode, size):
    with pytest.raises(InputError, match=rf"48x48 L.*{size[0]}x{size[1]} {mode}"):
        Preprocessor(NATIVE48).to_array(Image.new(mode, size))


# golden arrays, of a face drawn without anti-aliasing, fonts or gradients, so that only the resampling can change them


def _golden_face() -> Image.Image:
    y, x = np.mgrid[0:96, 0:96]
    image = Image.fromarray(((3 * x + 5 * y) % 251).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for box, level in (
        ((18, 8, 78, 90), 200),
        ((32, 34, 42, 42), 20),
        ((56, 34, 66, 42), 30),
        ((46, 50, 52, 62), 150),
        ((36, 70, 62, 78), 60),
    ):
        draw.rectangle(box, fill=level)
    return image


GOLDEN = {
    "native48": (
        "89360657107ea4f673c594d983b5a38b2b7a7ddd4acebabcd0c7a5995cec7bcc",
        [164, 181, 199, 201, 200, 199, 190, 195, 200, 200, 191, 195, 200, 174, 164, 182],
    ),
    "upscale224": (
        "5d81ecf7b120de6a9097af75c7ad29528be770112962a21b27131d1fff39abd7",
        [158, 174, 191, 204, 200, 199, 214, 211, 200, 199, 214, 210, 200, 188, 159, 175],
    ),
}


@pytest.mark.parametrize("name", list(GOLDEN))
def test_the_arrays_equal_those_of_the_checkpoints_training(name):
    digest, levels = GOLDEN[name]
    face = _golden_face()
    assert hashlib.sha256(face.tobytes()).hexdigest()[:16] == "e8dbd7b37c83d0df", (
        "the drawn face itself changed: Pillow draws differently"
    )
    preprocessor = Preprocessor(name)
    side = preprocessor.config.size
    prepared = np.asarray(preprocessor.prepare(face).convert("L"))
    reason = (
        f"{name}: this Pillow ({Image.__version__}) resamples differently from the one that the checkpoints were "
        "trained with; evaluate them again"
    )
    assert prepared[side // 3, :: side // 16].tolist() == levels, reason
    array = preprocessor(face)
    assert hashlib.sha256(array.astype("<f4").tobytes()).hexdigest() == digest, reason


def test_preprocessing_needs_neither_torch_nor_opencv_nor_scikit_image():
    code = (
        "import sys, emotion_hub.preprocess, emotion_hub.images, emotion_hub.labels\n"
        "heavy = {'torch', 'torchvision', 'timm', 'cv2', 'skimage', 'scipy', 'transformers', 'gradio'}\n"
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
