"""Degradations of faces against Pillow and their definitions."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn

from emotion_hub.errors import ConfigError
from emotion_hub.preprocess import NATIVE48, UPSCALE224, Preprocessor
from training.augmentation.augment import augment_tensor
from training.augmentation.geometry import CROP_SHIFT, CROP_ZOOM
from training.augmentation.jpeg import jpeg_levels, quantisation
from training.augmentation.strengths import Augmentation


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _gray(config=NATIVE48) -> torch.Tensor:
    return torch.from_numpy(Preprocessor(config).normalise(np.arange(256, dtype=np.uint8)[None])[:, 0])


def _planes(count: int = 8, side: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth gray images with some grain, uint8 (N, S, S)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (count, 9, 9), dtype=np.uint8)
    large = np.stack(
        [np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC)) for plane in coarse]
    )
    return np.clip(large + rng.normal(0, 4, large.shape), 0, 255).astype(np.uint8)


def _batch(planes: np.ndarray, config=NATIVE48) -> torch.Tensor:
    return torch.from_numpy(Preprocessor(config).normalise(planes))


def _levels(batch: torch.Tensor, config=NATIVE48) -> torch.Tensor:
    """Gray levels 0..255 of the first channel of a normalised batch."""
    black, white = _gray(config)[0, 0], _gray(config)[0, 255]
    return 255 * (batch[:, 0] - black) / (white - black)


def _pillow(plane: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(plane).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


# JPEG


@pytest.mark.parametrize("quality", [1, 5, 20, 49, 50, 75, 90, 100])
def test_quantisation_tables_are_pillows(quality):
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    file.seek(0)
    table = Image.open(file).quantization[0]
    assert quantisation(torch.tensor([quality])).flatten().tolist() == pytest.approx(list(table))


@pytest.mark.parametrize("quality", [10, 30, 60, 75])
def test_jpeg_levels_are_pillows_within_rounding(quality):
    planes = _planes()
    ours = jpeg_levels(torch.from_numpy(planes.astype(np.float32)), torch.full((8,), quality)).numpy()
    theirs = np.stack([_pillow(plane, quality) for plane in planes]).astype(np.float32)
    loss = np.abs(theirs - planes).mean()
    assert loss > 0.5, "the quality changes the image, so that a copy would fail below"
    blocks_ours, blocks_theirs = (
        levels.reshape(8, 6, 8, 6, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 8, 8) for levels in (ours, theirs)
    )
    tables = quantisation(torch.tensor([quality])).numpy()
    a, b = (np.rint(dctn(blocks - 128, axes=(1, 2), norm="ortho") / tables) for blocks in (blocks_ours, blocks_theirs))
    assert (a == b).mean() > 0.994, "quantised coefficients; libjpeg rounds a few near a half the other way"
    same = (a == b).all(axis=(1, 2))
    assert same.mean() > 0.75
    assert np.abs(blocks_ours - blocks_theirs)[same].max() <= 1
    assert np.abs(ours - theirs).mean() < 0.05 * loss
    assert (ours == np.rint(ours)).all()
    assert (ours.min() >= 0, ours.max() <= 255) == (True, True)


def test_each_image_has_its_own_quality():
    planes = torch.from_numpy(_planes(2).astype(np.float32))
    together = jpeg_levels(planes, torch.tensor([10, 95]))
    for number, quality in enumerate((10, 95)):
        alone = jpeg_levels(planes[number : number + 1], torch.tensor([quality]))
        torch.testing.assert_close(together[number : number + 1], alone)
    errors = (together - planes).abs().mean(dim=(1, 2))
    assert errors[0] > 3 * errors[1]


def test_the_jpeg_step_loses_more_at_lower_quality_and_moves_the_grid_of_blocks():
    batch, gray = _batch(_planes(32)), _gray()

    def loss(quality: tuple[int, int]) -> float:
        how = Augmentation(jpeg=1.0, jpeg_quality=quality)
        return float((augment_tensor(batch, how, _seeded(), gray=gray) - batch).abs().mean())

    assert loss((10, 10)) > 1.5 * loss((40, 40)) > 2 * loss((90, 90)) > 0
    how = Augmentation(jpeg=1.0, jpeg_quality=(5, 5))
    outs = [augment_tensor(batch[:1], how, _seeded(seed), gray=gray) for seed in range(6)]
    assert len({out.numpy().tobytes() for out in outs}) > 3, "the offset of the blocks is drawn anew"


# small faces


@pytest.mark.parametrize("small", [16, 24, 40])
def test_a_small_face_is_pillows_reduced_and_enlarged_face(small):
    planes = _planes()
    out = augment_tensor(_batch(planes), Augmentation(small=1.0, small_sides=(small, small)), _seeded(), gray=_gray())
    wanted = [
        Image.fromarray(plane.astype(np.float32))
        .resize((small, small), Image.Resampling.BILINEAR)
        .resize((48, 48), Image.Resampling.LANCZOS)
        for plane in planes
    ]
    np.testing.assert_allclose(_levels(out).numpy(), np.stack([np.asarray(image) for image in wanted]), atol=0.02)


def test_the_sides_of_small_faces_are_drawn_from_their_range():
    grain = torch.randn(200, 1, 48, 48, generator=_seeded(1))
    how = Augmentation(small=0.5, small_sides=(16, 48))
    spread = augment_tensor(grain, how, _seeded(), gray=_gray()).flatten(1).std(dim=1)
    assert 70 < int((spread < 0.97).sum()) < 115, "half of the images, minus those of almost full size"
    assert 0.15 < spread.min() < 0.3  # white noise reduced to s of 48 pixels keeps less than s / 48 of its spread
    assert len(np.unique(np.round(spread[spread < 0.97].numpy(), 2))) > 20


# measured on the 48-pixel face


@pytest.mark.parametrize(
    "how",
    [Augmentation(small=1.0, small_sides=(20, 20)), Augmentation(jpeg=1.0, jpeg_quality=(15, 15))],
    ids=["small", "jpeg"],
)
def test_a_224_pixel_network_sees_the_same_degraded_face(how):
    planes = _planes(6)
    large = np.stack(
        [np.asarray(Image.fromarray(plane).resize((224, 224), Image.Resampling.LANCZOS)) for plane in planes]
    )
    native = _levels(augment_tensor(_batch(planes), how, _seeded(), gray=_gray()))
    out = augment_tensor(_batch(large, UPSCALE224), how, _seeded(), gray=_gray(UPSCALE224))
    upscaled = _levels(out, UPSCALE224)
    wanted = np.stack(
        [np.asarray(Image.fromarray(face).resize((224, 224), Image.Resampling.LANCZOS)) for face in native.numpy()]
    )
    change = np.abs(wanted - large).mean()
    assert np.abs(upscaled.numpy() - wanted).mean() < 0.35 * change
    black, white = (_gray(UPSCALE224)[:, level].view(1, 3, 1, 1) for level in (0, 255))
    gray_planes = (out - black) / (white - black)
    torch.testing.assert_close(gray_planes[:, 0], gray_planes[:, 2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [20, 64])
def test_other_sides_work(side):
    how = Augmentation(small=1.0, jpeg=1.0, occlude=1.0, gamma=0.5, crop=1.0, low_contrast=0.5)
    out = augment_tensor(_batch(_planes(4)), how, _seeded(), size=side, gray=_gray())
    assert out.shape == (4, 1, side, side)
    assert torch.isfinite(out).all()


# light


def test_gamma_raises_gray_levels_to_an_exponent():
    planes = _planes(64)
    out = _levels(augment_tensor(_batch(planes), Augmentation(gamma=0.8), _seeded(), gray=_gray())) / 255
    levels = torch.from_numpy(planes / 255.0)
    ratios = out.double().clamp(1e-6).log() / levels.clamp(1e-6, 0.99).log()
    exponents = ratios.flatten(1).median(dim=1).values
    assert math.exp(-0.8) - 0.01 <= exponents.min() < 0.6
    assert 1.8 < exponents.max() <= math.exp(0.8) + 0.01
    torch.testing.assert_close(out.double(), levels ** exponents.view(-1, 1, 1), atol=2e-3, rtol=0)


def test_gamma_keeps_values_beyond_black_and_white_at_their_distance():
    batch = torch.tensor([[[[-1.4, 1.25]]]])
    out = augment_tensor(batch, Augmentation(gamma=1.0), _seeded(), gray=_gray())
    torch.testing.assert_close(out, batch)


def test_low_contrast_affects_every_second_image_and_keeps_its_mean():
    batch = _batch(_planes(200))
    out = augment_tensor(batch, Augmentation(low_contrast=0.7), _seeded())
    factor = out.std(dim=(1, 2, 3)) / batch.std(dim=(1, 2, 3))
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), batch.mean(dim=(1, 2, 3)), atol=1e-5, rtol=0)
    assert 75 < int((factor < 0.999).sum()) < 125
    assert 0.3 <= factor.min() < 0.4
    assert factor.max() <= 1 + 1e-6


# covered parts


def test_an_occluded_face_has_a_patch_a_covered_side_or_a_dark_band():
    batch = _batch(_planes(1)).expand(400, -1, -1, -1).clone()
    out = augment_tensor(batch, Augmentation(occlude=0.75), _seeded())
    covered = (out != batch)[:, 0]
    share = covered.float().mean(dim=(1, 2))
    assert 260 < int((share > 0).sum()) < 340
    bands = halves = patches = 0
    for image, where in zip(out[share > 0, 0], covered[share > 0], strict=True):
        rows, columns = torch.nonzero(where.any(1)).flatten(), torch.nonzero(where.any(0)).flatten()
        height, width = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
        values = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert values.max() == values.min(), "one gray level"
        if width >= 47 and height <= 0.26 * 48 and values.max() == batch.min():
            bands += 1
        elif max(height, width) >= 47:
            halves += 1
            assert 0.28 < min(height, width) / 48 < 0.53
        else:
            patches += 1
            assert 0.06 < height * width / 48**2 < 0.38
    assert min(bands, halves, patches) > 60, (bands, halves, patches)
    assert out.min() >= batch.min()
    assert out.max() <= batch.max()


# crops


def test_crops_vary_as_yunets_do():
    """The centre and the size of a blob under `crop` against the measured deviations."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / 0.04).expand(1500, 1, 96, 96)
    out = augment_tensor(blob, Augmentation(crop=1.0), _seeded())[:, 0]
    total, steps = out.sum(dim=(1, 2)), torch.linspace(-1, 1, 96)
    across, down = (out.sum(1) * steps).sum(1) / total, (out.sum(2) * steps).sum(1) / total
    zoom = 0.5 * torch.log(blob[0, 0].sum() / total)  # the area of the blob is that of 1 / zoom squared
    assert float(zoom.std()) == pytest.approx(CROP_ZOOM, rel=0.08)
    # a crop that moves by s sides moves the face by 2 s / zoom in the other direction, in units of -1..1
    moved = [float((value * torch.exp(zoom)).std()) / 2 for value in (across, down)]
    assert moved == [pytest.approx(CROP_SHIFT[0], rel=0.08), pytest.approx(CROP_SHIFT[1], rel=0.08)]
    assert float(zoom.mean()) == pytest.approx(0, abs=0.02)
    half = augment_tensor(blob, Augmentation(crop=0.5), _seeded())[:, 0]
    assert float((0.5 * torch.log(blob[0, 0].sum() / half.sum(dim=(1, 2)))).std()) == pytest.approx(
        CROP_ZOOM / 2, rel=0.1
    )


# settings


NEW = ("crop", "gamma", "low_contrast", "occlude", "small", "jpeg")

OLD = {
    "flip": 0.5,
    "rotate": 12.0,
    "shift": 0.1,
    "scale": 0.15,
    "brightness": 0.2,
    "contrast": 0.3,
    "erase": 0.5,
    "vertical_flip": 0.2,
    "shear": 8.0,
    "perspective": 0.1,
    "sharpness": 0.5,
    "blur": 0.3,
    "soften": 1.2,
    "noise": 0.15,
}


def test_recipes_without_the_new_steps_give_the_batches_that_they_gave_before():
    """Pixels that the code computed before these steps existed; a number drawn by a step that is off changes them."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    batch = torch.stack([torch.sin(x / (3 + n)) * torch.cos(y / (4 + n)) for n in range(6)]).unsqueeze(1)
    out = augment_tensor(batch, Augmentation(**OLD), _seeded(7))
    assert out[:, 0, 24, 10].tolist() == pytest.approx(
        [0.677613, -0.005618, -0.008967, 0.243547, -1.056219, 0.656221], abs=1e-4
    )
    assert out[:, 0, 5, 40].tolist() == pytest.approx(
        [0.426326, -0.343418, 0.10525, 0.571032, -0.57982, 0.736681], abs=1e-4
    )
    assert all(getattr(Augmentation(), step) == 0 for step in NEW)


@pytest.mark.parametrize("step", NEW)
def test_a_step_alone_changes_images_and_is_reproducible(step):
    batch, how = _batch(_planes(16)), Augmentation(**{step: 0.9})
    out = augment_tensor(batch, how, _seeded(3), gray=_gray())
    assert (out.shape, out.dtype) == (batch.shape, torch.float32)
    assert (out - batch).abs().max() > 0.02
    assert torch.equal(out, augment_tensor(batch, how, _seeded(3), gray=_gray()))
    assert not torch.equal(out, augment_tensor(batch, how, _seeded(4), gray=_gray()))


@pytest.mark.parametrize("step", ["gamma", "small", "jpeg"])
def test_steps_on_gray_levels_name_the_missing_argument(step):
    with pytest.raises(ConfigError, match=f"{step} works on gray levels"):
        augment_tensor(_batch(_planes(2)), Augmentation(**{step: 0.5}), _seeded())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jpeg", 1.2),
        ("occlude", -0.1),
        ("low_contrast", 1.0),
        ("gamma", math.nan),
        ("crop", -1),
        ("small_sides", (16, 64)),
        ("small_sides", (30, 20)),
        ("small_sides", (16.0, 48)),
        ("jpeg_quality", (0, 50)),
        ("jpeg_quality", (20, 101)),
        ("jpeg_quality", (20,)),
    ],
)
def test_an_invalid_strength_is_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        Augmentation(**{field: value})


def test_the_new_strengths_grow_with_the_ramp_and_their_ranges_do_not():
    how = Augmentation(jpeg=0.6, gamma=0.4, crop=1.0, jpeg_quality=(30, 80), ramp_epochs=4, ramp_start=0.5)
    start = how.at_epoch(0)
    assert (start.jpeg, start.gamma, start.crop) == (pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.5))
    assert start.jpeg_quality == (30, 80)
