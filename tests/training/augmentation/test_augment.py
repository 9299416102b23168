"""Augmentation steps against their definitions."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from emotion_hub.errors import ConfigError
from emotion_hub.preprocess import NATIVE48, Preprocessor
from training.augmentation.augment import augment_image, augment_tensor
from training.augmentation.strengths import Augmentation


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _smooth(count: int = 4, side: int = 48) -> torch.Tensor:
    """Smooth off-centre blobs: geometry changes them, resampling hardly does."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return torch.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2) / 0.1).expand(count, 1, side, side).clone()


def _centre(batch: torch.Tensor) -> torch.Tensor:
    """(N, 2): the centre of the blob in -1..1, x then y."""
    side = batch.shape[-1]
    steps = (torch.arange(side, dtype=torch.float32) * 2 + 1) / side - 1
    weight = batch[:, 0].clamp(min=0)
    total = weight.sum(dim=(1, 2))
    return torch.stack([(weight.sum(1) * steps).sum(1) / total, (weight.sum(2) * steps).sum(1) / total], dim=1)


NEW_STEPS = {
    "vertical_flip": 0.5,
    "shear": 15.0,
    "perspective": 0.2,
    "sharpness": 0.8,
    "blur": 0.5,
    "soften": 1.5,
    "noise": 0.2,
}


@pytest.mark.parametrize(("step", "strength"), NEW_STEPS.items(), ids=NEW_STEPS)
def test_each_step_alone_changes_images_at_random(step, strength):
    batch = _smooth(6) + 0.2 * torch.rand(6, 1, 48, 48, generator=_seeded(3))
    out = augment_tensor(batch, Augmentation(**{step: strength}), _seeded())
    assert (out.shape, out.dtype) == (batch.shape, torch.float32)
    assert torch.isfinite(out).all()
    changes = (out - batch).abs().amax(dim=(1, 2, 3))
    assert changes.max() > 0.02
    assert changes.max() > 1.5 * changes.min(), "the images of a batch are augmented independently"


def test_a_vertical_flip_with_probability_1_equals_torch_flip():
    batch = _smooth()
    torch.testing.assert_close(
        augment_tensor(batch, Augmentation(vertical_flip=1.0), _seeded()), batch.flip(-2), atol=1e-5, rtol=0
    )


def test_shear_moves_rows_horizontally_only():
    how, batch = Augmentation(shear=20.0), _smooth(16)
    before, after = _centre(batch), _centre(augment_tensor(batch, how, _seeded()))
    torch.testing.assert_close(after[:, 1], before[:, 1], atol=0.01, rtol=0)
    moved = (after[:, 0] - before[:, 0]).abs()
    assert 0.02 < moved.max() <= 0.2 * math.tan(math.radians(20)) * 1.3


def test_perspective_enlarges_one_side_and_shrinks_the_other():
    flat = torch.zeros(16, 1, 48, 48)
    flat[:, :, :, 8] = flat[:, :, :, 39] = 1  # two vertical lines
    out = augment_tensor(flat, Augmentation(perspective=0.3), _seeded())
    lines = out[:, 0, 24]
    left, right = lines[:, :24].argmax(1), lines[:, 24:].argmax(1) + 24
    unequal = ((23.5 - left.float()) - (right.float() - 23.5)).abs()
    assert unequal.max() >= 3
    assert (out - flat).abs().amax(dim=(1, 2, 3)).min() > 0


def test_sharpness_blends_with_pillows_smoothing():
    rng = np.random.default_rng(0)
    face = rng.integers(60, 200, (48, 48), dtype=np.uint8)
    batch = torch.from_numpy(face.astype(np.float32))[None, None]
    out = augment_tensor(batch, Augmentation(sharpness=1.0), _seeded(4))
    smooth = np.asarray(ImageEnhance.Sharpness(Image.fromarray(face)).enhance(0.0), dtype=np.float32)
    inner = (slice(1, -1), slice(1, -1))
    factor = ((out[0, 0].numpy() - smooth)[inner] / np.where(face == smooth, np.nan, face - smooth)[inner])[
        np.abs(face - smooth)[inner] > 20
    ]
    assert np.nanmedian(factor) == pytest.approx(1 + (2 * torch.rand(1, generator=_seeded(4)).item() - 1), abs=0.02)


def test_blur_is_opencvs_gaussian():
    batch = torch.rand(1, 1, 48, 48, generator=_seeded(1))
    expected = cv2.GaussianBlur(batch[0, 0].numpy(), (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE)
    out = augment_tensor(batch, Augmentation(blur=1.0), _seeded())
    np.testing.assert_allclose(out[0, 0].numpy(), expected, atol=2e-3)


def test_noise_has_mean_zero_limited_deviation_and_is_equal_in_all_channels():
    out = augment_tensor(torch.zeros(64, 3, 48, 48), Augmentation(noise=0.5), _seeded())
    sigma = out.std(dim=(1, 2, 3))
    assert out.mean().abs() < 0.01
    assert 0 <= sigma.min() < 0.1
    assert 0.4 < sigma.max() <= 0.52
    assert torch.equal(out[:, 0], out[:, 2])


def test_a_gray_fill_covers_areas_that_geometry_uncovers():
    gray = torch.from_numpy(Preprocessor(NATIVE48).normalise(np.arange(256, dtype=np.uint8)[None])[:, 0])
    white = torch.ones(8, 1, 48, 48)
    out = augment_tensor(white, Augmentation(shift=0.3, fill=128), _seeded(), gray=gray)
    assert out.min().item() == pytest.approx(gray[0, 128].item(), abs=1e-6)
    assert out.max().item() == pytest.approx(1)
    torch.testing.assert_close(
        augment_tensor(white, Augmentation(shift=0.3), _seeded()), white
    )  # a repeated border has no seam
    with pytest.raises(ConfigError, match="fill=128"):
        augment_tensor(white, Augmentation(shift=0.3, fill=128), _seeded())


@pytest.mark.parametrize("how", [Augmentation(), Augmentation(flip=1.0)], ids=["resize", "move"])
def test_another_side_gives_the_same_image_smaller(how):
    batch = _smooth()
    small = augment_tensor(batch, how, _seeded(), size=24)
    assert small.shape == (4, 1, 24, 24)
    wanted = torch.nn.functional.avg_pool2d(batch.flip(-1) if how.flip else batch, 2)
    torch.testing.assert_close(small, wanted, atol=0.02, rtol=0)
    whole = augment_tensor(batch, Augmentation(), _seeded(), size=48)
    assert whole is batch


def test_equalisation_is_opencvs_clahe_on_the_chosen_images():
    planes = np.random.default_rng(0).integers(90, 140, (20, 48, 48), dtype=np.uint8)
    out = augment_image(planes, Augmentation(clahe=0.5), _seeded())
    wanted = [cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(plane) for plane in planes]
    applied = [np.array_equal(a, b) for a, b in zip(out, wanted, strict=True)]
    left = [np.array_equal(a, b) for a, b in zip(out, planes, strict=True)]
    assert all(a != b for a, b in zip(applied, left, strict=True))
    assert 4 < sum(applied) < 16
    assert out.std() > planes.std()
    assert augment_image(planes, Augmentation(), _seeded()) is planes


def test_strengths_grow_during_the_ramp_and_stay_constant_afterwards():
    how = Augmentation(rotate=20.0, flip=0.5, ramp_epochs=10, ramp_start=0.2, erase_area=(0.1, 0.2), fill=128)
    assert (how.at_epoch(0).rotate, how.at_epoch(0).flip) == (pytest.approx(4), pytest.approx(0.1))
    assert how.at_epoch(5).rotate == pytest.approx(12)
    assert how.at_epoch(10) is how
    assert how.at_epoch(99) is how
    assert (how.at_epoch(0).erase_area, how.at_epoch(0).fill) == ((0.1, 0.2), 128)
    plain = Augmentation(rotate=20.0)
    assert plain.at_epoch(0) is plain


def test_soften_blurs_every_second_image_up_to_its_deviation():
    grain = torch.randn(200, 1, 48, 48, generator=_seeded(1))
    spread = augment_tensor(grain, Augmentation(soften=1.5), _seeded()).flatten(1).std(dim=1)
    assert 70 < int((spread < 0.99).sum()) < 115, "about half of the images, minus those with the smallest deviations"
    # white noise under a Gaussian blur of deviation s keeps 1 / (2 s sqrt(pi)) of its spread
    assert spread.min() > 0.9 / (2 * 1.5 * math.sqrt(math.pi))
    torch.testing.assert_close(
        augment_tensor(torch.ones(8, 3, 48, 48), Augmentation(soften=1.5), _seeded()), torch.ones(8, 3, 48, 48)
    )


def test_soften_and_noise_scale_with_the_side_of_the_face():
    step = torch.zeros(64, 3, 224, 224)
    step[..., 112:] = 1
    width = (augment_tensor(step, Augmentation(soften=1.5), _seeded()) - step).abs().sum(dim=-1).mean(dim=(1, 2))
    assert (
        0.8 * 2 * 1.5 * 224 / 48 / math.sqrt(2 * math.pi)
        < width.max()
        < 1.1 * 2 * 1.5 * 224 / 48 / math.sqrt(2 * math.pi)
    )
    grain = augment_tensor(torch.zeros(16, 3, 224, 224), Augmentation(noise=0.5), _seeded())
    torch.testing.assert_close(grain[:, 0], grain[:, 2])
    neighbours = torch.corrcoef(torch.stack([grain[:, 0, :, :-1].flatten(), grain[:, 0, :, 1:].flatten()]))[0, 1]
    assert neighbours > 0.9, "noise of the small face covers several pixels when enlarged"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("perspective", 0.5),
        ("clahe", 1.5),
        ("ramp_start", -0.1),
        ("noise", -1),
        ("fill", "gray"),
        ("fill", 300),
        ("shear", math.inf),
    ],
)
def test_an_invalid_strength_is_rejected(field, value):
    with pytest.raises(ConfigError, match=field):
        Augmentation(**{field: value})
