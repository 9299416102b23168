"""The packaged YuNet file and its decoder against OpenCV's detector."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_hub.detectors import YuNetDetector
from emotion_hub.detectors.yunet import MODEL_FILE, _input_pixels, decode
from emotion_hub.errors import CheckpointError, DetectorError
from emotion_hub.examples import example_path
from emotion_hub.images import load_image

SOURCE = "face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    path = shared_data / "detectors" / SOURCE
    if not path.is_file():
        pytest.skip(f"no YuNet file at {path}")
    return path


@pytest.fixture(scope="module")
def yunet() -> YuNetDetector:
    return YuNetDetector()


def _scaled(image: Image.Image, side: int) -> Image.Image:
    share = min(1.0, side / max(image.size))
    return (
        image
        if share == 1
        else image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BILINEAR)
    )


def _astronaut() -> Image.Image:
    return load_image(example_path("astronaut"))


@pytest.mark.parametrize("side", [320, 512, 640, 1600])
def test_boxes_points_and_scores_equal_those_of_opencv(
    side: int, yunet: YuNetDetector, source: Path, shared_data: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    faces = 0
    for path in sorted((shared_data / "photos").glob("*.jpg")):
        image = _scaled(load_image(path), side)
        _, expected = cv2.FaceDetectorYN.create(str(source), "", image.size, 0.6, 0.3, 5000).detect(
            np.ascontiguousarray(np.asarray(image)[..., ::-1])
        )
        expected = np.zeros((0, 15), np.float32) if expected is None else expected
        rows = decode(yunet._run(_input_pixels(image, None)), 0.6)
        assert len(rows) == len(expected), path.name
        np.testing.assert_allclose(rows[:, :14], expected[:, :14], atol=0.01, err_msg=path.name)
        np.testing.assert_allclose(rows[:, 14], expected[:, 14], atol=1e-4, err_msg=path.name)
        faces += len(rows)
    assert faces >= 20


def test_the_packaged_file_is_made_by_the_command_from_opencvs_file(source: Path, tmp_path: Path) -> None:
    from training import yunet as command

    made = command.main(["--source", str(source), "--out", str(tmp_path / "yunet.onnx")])
    assert hashlib.sha256(made.read_bytes()).digest() == hashlib.sha256(MODEL_FILE.read_bytes()).digest()
    other = tmp_path / "other.onnx"
    other.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="download the published file"):
        command.main(["--source", str(other), "--out", str(tmp_path / "x.onnx")])


def test_the_published_file_with_a_fixed_size_gives_the_same_boxes(source: Path, yunet: YuNetDetector) -> None:
    image = _astronaut()
    fixed, any_size = YuNetDetector(source).detect(image), yunet.detect(image)
    np.testing.assert_allclose([d.bbox for d in fixed], [d.bbox for d in any_size], atol=1.0)


def test_detection_needs_neither_opencv_nor_torch_nor_the_hub() -> None:
    code = (
        "import sys, socket; sys.modules.update(dict.fromkeys(('cv2', 'torch', 'skimage', 'huggingface_hub')))\n"
        "import numpy as np; from PIL import Image; from emotion_hub.detectors import default_detector\n"
        "assert default_detector().detect(Image.fromarray(np.zeros((90, 120, 3), np.uint8))) == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)


@pytest.mark.parametrize("size", [(12, 500), (500, 12), (65, 65), (1500, 20), (31, 33)])
def test_images_of_any_shape_are_accepted(size: tuple[int, int], yunet: YuNetDetector) -> None:
    assert yunet.detect(Image.new("RGB", size, (90, 120, 60))) == []


def test_small_faces_of_a_large_group_photo_are_found_within_three_seconds(
    yunet: YuNetDetector, shared_data: Path
) -> None:
    group = load_image(shared_data / "photos" / "group8_london_montage_ccby.jpg")
    tall = max(d.bbox[3] - d.bbox[1] for d in yunet.detect(group))
    small = group.resize((round(group.width * 60 / tall), round(group.height * 60 / tall)))
    large = Image.new("RGB", (3000, 2000), (120, 130, 140))
    for left in range(0, 3000 - small.width, 2 * small.width):
        large.paste(small, (left, 900))
    count = 8 * len(range(0, 3000 - small.width, 2 * small.width))
    yunet.detect(large)
    started = time.perf_counter()
    detections = yunet.detect(large)
    assert time.perf_counter() - started < 3, "takes 0.3 s on an idle machine"
    assert len(detections) >= 0.95 * count


@pytest.mark.parametrize("content", [b"", b"this is not a network"], ids=["empty", "text"])
def test_a_file_that_is_not_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(DetectorError, match=r"other\.onnx"):
        YuNetDetector(path)


def test_another_onnx_network_is_refused() -> None:
    from emotion_hub.checkpoints import embedded_checkpoints

    with pytest.raises(DetectorError, match="outputs are logits"):
        YuNetDetector(embedded_checkpoints()["emotion_cnn"] / "model.onnx")
