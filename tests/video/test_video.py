"""Videos: frame reading, tracking, smoothing, timeline and annotated copies."""

from __future__ import annotations

import csv
import json
import math
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from emotion_hub.__main__ import main
from emotion_hub.batch import open_source
from emotion_hub.detectors import Detection, Framing, YuNetDetector
from emotion_hub.errors import ConfigError, InputError, MissingDependencyError, VideoError
from emotion_hub.examples import example_path
from emotion_hub.images import load_image
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.video import Smoother, Timeline, TrackedFace, Tracker, analyse_video, frames, probe_video, read_frames
from emotion_hub.video.annotate import AnnotatedVideo, draw_tracked_faces
from tests.fakes.batch_helpers import linear_predictor
from tests.tolerances import assert_same_probs

GRAY, RED, BLUE = (110, 110, 110), (220, 30, 30), (30, 30, 220)


class ColourDetector:
    """Finds the red pixels and the blue pixels, each as one box."""

    name, framing = "colours", Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        pixels, found = np.asarray(image).astype(int), []
        for channel, other in ((0, 2), (2, 0)):
            ys, xs = np.nonzero(pixels[..., channel] - pixels[..., other] > 90)
            if len(xs) > 50:
                found.append(Detection((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), 0.9))
        return found


def predictor(detector=None) -> EmotionPredictor:
    return linear_predictor(detector=detector or ColourDetector())


def square(*placed: tuple[tuple[int, int, int], int, int], size=(192, 144)) -> Image.Image:
    image = Image.new("RGB", size, GRAY)
    for colour, x, y in placed:
        image.paste(colour, (x, y, x + 40, y + 40))
    return image


def write(
    path: Path,
    pictures: list[Image.Image],
    times: list[float] | None = None,
    rotation: int | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Write frames at `times` (seconds; by default ten per second), in the container that the path's suffix names."""
    times = times or [i / 10 for i in range(len(pictures))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=10, options={"crf": "18", "preset": "veryfast", "g": "5", "bf": "0"}
        )
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def noise(count: int, size=(192, 144)) -> list[Image.Image]:
    """Frames of noise, which hardly compress, so that a file can be cut in its middle."""
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)) for _ in range(count)]


# frame reading


def test_frames_are_taken_at_the_requested_rate(tmp_path):
    path = write(tmp_path / "v.mp4", [square() for _ in range(20)])
    assert [round(f.time, 3) for f in read_frames(path, 5)] == [round(i / 5, 3) for i in range(10)]
    assert [round(f.time, 3) for f in read_frames(path, 3)] == [0, 0.4, 0.7, 1.0, 1.4, 1.7]
    assert [f.index for f in read_frames(path, None)] == list(range(20))
    assert len(list(read_frames(path, 1000))) == 20


def test_a_variable_frame_rate_is_sampled_by_its_timestamps(tmp_path):
    times = [0, 0.01, 0.02, 0.03, 0.5, 0.51, 0.52, 1.7, 1.71, 2.0]
    path = write(tmp_path / "v.mkv", [square() for _ in times], times)
    assert [round(f.time, 2) for f in read_frames(path, 2)] == [0, 0.5, 1.7, 2.0]
    shifted = write(tmp_path / "s.mkv", [square() for _ in times], [t + 3 for t in times])
    assert [round(f.time, 2) for f in read_frames(shifted, 2)] == [0, 0.5, 1.7, 2.0], "times start with the first frame"


def test_timestamps_that_restart_in_joined_parts_are_continued(tmp_path, caplog):
    """Some recorders join parts whose timestamps start at 0 again."""
    parts = [write(tmp_path / f"{level}.ts", [Image.new("RGB", (64, 48), (level,) * 3)] * 12) for level in (30, 220)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for rate, each in ((5, 6), (None, 12)):
        taken = list(read_frames(path, rate))
        assert [round(f.time, 2) for f in taken] == [round(i * 1.2 / each, 2) for i in range(2 * each)]
        assert [np.asarray(f.image).mean() > 128 for f in taken] == [False] * each + [True] * each
    assert "'joined.ts': its timestamps restart after 1.10 s" in caplog.text
    found = analyse_video(path, predictor(), rate=None, whole=True)
    assert (found.frames, found.damage, len(found.tracks)) == (24, None, 1)


def test_a_frame_out_of_order_does_not_change_the_clock(tmp_path, monkeypatch, caplog):
    path = write(tmp_path / "v.mkv", [square()] * 6)
    decoded = frames._decoded

    def swapped(*args):
        first, second, third, *others = decoded(*args)
        yield from (first, third, second, *others)

    monkeypatch.setattr(frames, "_decoded", swapped)
    assert [round(f.time, 2) for f in read_frames(path, None)] == [0, 0.2, 0.2, 0.3, 0.4, 0.5]
    assert not caplog.text


@pytest.mark.parametrize(
    ("rotation", "size", "corner"),
    [
        (None, (192, 144), (0, 0)),
        (-90, (144, 192), (104, 0)),
        (90, (144, 192), (0, 152)),
        (180, (192, 144), (152, 104)),
    ],
)
def test_rotation_is_applied(rotation, size, corner, tmp_path):
    """-90 is what a phone writes that was held upright: the frame must be turned clockwise."""
    path = write(tmp_path / "v.mp4", [square((RED, 0, 0))] * 3, rotation=rotation)
    image = next(read_frames(path)).image
    assert image.size == size
    assert ColourDetector().detect(image)[0].bbox[:2] == pytest.approx(corner, abs=2)
    info = probe_video(path)
    assert (info.width, info.height) == size


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    path = write(tmp_path / "v.mp4", [square()] * 3, aspect=Fraction(4, 3))
    assert next(read_frames(path)).image.size == (256, 144)


def test_size_and_number_of_frames_are_limited(tmp_path, monkeypatch):
    path = write(tmp_path / "v.mp4", [square()] * 8)
    monkeypatch.setattr(frames, "MAX_FRAMES", 5)
    with pytest.raises(VideoError, match="more than 5 frames; take fewer per second"):
        list(read_frames(path, None))
    assert len(list(read_frames(path, 5))) == 4
    monkeypatch.setattr(frames, "MAX_PIXELS", 192 * 144 - 1)
    with pytest.raises(VideoError, match="192x144 = 0 megapixels"):
        list(read_frames(path, None))


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_an_invalid_rate_is_refused(rate, tmp_path):
    with pytest.raises(InputError, match="rate="):
        read_frames(tmp_path / "v.mp4", rate)


# files that are not videos


def _text(path: Path) -> None:
    path.write_text("no video")


def _sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    path.with_suffix(".wav").write_bytes(path.read_bytes())
    with av.open(str(path.with_suffix(".wav"))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=8000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode())


def _playlist(path: Path) -> None:
    """A playlist: one of untrusted origin could name any local file."""
    write(path.with_name("secret.ts"), [square()] * 3)
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path.with_name('secret.ts')}\n#EXT-X-ENDLIST\n")


def _concat(path: Path) -> None:
    write(path.with_name("secret.mp4"), [square()] * 3)
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text, "cannot be read as a video"),
        (_sound, "has no video stream, only audio"),
        (_playlist, "cannot be read"),
        (_concat, "cannot be read"),
    ],
)
def test_a_file_that_is_not_a_video_is_refused(make, message, tmp_path):
    make(tmp_path / "v.mp4")
    with pytest.raises(VideoError, match=f"'v.mp4' {message}"):
        list(read_frames(tmp_path / "v.mp4"))


def test_a_missing_file_and_an_address_are_refused():
    for path in ("gone.mp4", "http://127.0.0.1:9/v.mp4", "v" * 300 + ".mp4"):
        with pytest.raises(VideoError, match="there is no video file"):
            list(read_frames(path))


def test_without_pyav_the_message_gives_the_pip_command(tmp_path, monkeypatch):
    path = write(tmp_path / "v.mp4", [square()])
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"needs the extra 'video'.*pip install \"\.\[video\]\""):
        list(read_frames(path))


# damaged files


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Path:
    """A video of three seconds without its second half; the header, at the front, still states three seconds."""
    folder = tmp_path_factory.mktemp("cut")
    whole = write(folder / "whole.mkv", [*noise(10), *noise(20)])
    (folder / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return folder / "cut.mkv"


def test_a_truncated_file_gives_its_frames_and_then_the_error(cut):
    times: list[float] = []
    with pytest.raises(VideoError, match=r"'cut.mkv' is (cut short|damaged)"):
        _collect_times(read_frames(cut, None), times)
    assert 5 < len(times) < 25


def _collect_times(source, times: list[float]) -> None:
    for frame in source:
        times.append(frame.time)


def test_a_damaged_video_raises_unless_partial_is_set(cut, tmp_path):
    with pytest.raises(VideoError, match=r"cut short|damaged"):
        analyse_video(cut, predictor(), annotated=tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir()), "no incomplete video is left"
    found = analyse_video(cut, predictor(), annotated=tmp_path / "a.mp4", partial=True)
    assert found.frames > 3
    assert "download or export it again" in found.damage
    assert (tmp_path / "a.mp4").is_file()


def test_a_damaged_video_as_a_batch_source_ends_with_an_unreadable_picture(cut):
    pictures = list(open_source(cut).pictures())
    assert [p.time for p in pictures[:3]] == pytest.approx([0, 0.2, 0.4])
    with pytest.raises(InputError, match=r"cut short|damaged"):
        pictures[-1].read()
    assert pictures[-2].read().size == (192, 144)
    later = list(open_source(cut).pictures(3))
    assert [p.time for p in later] == [p.time for p in pictures[3:]]


# tracking


def test_a_face_that_moves_through_the_picture_keeps_its_track(tmp_path):
    """With a real face and the embedded detector."""
    face = load_image(example_path("astronaut")).crop((100, 0, 340, 240)).resize((112, 112))
    pictures = []
    for i in range(6):
        picture = Image.new("RGB", (224, 128), GRAY)
        picture.paste(face, (4 + 20 * i, 8 + 2 * (i % 2)))
        pictures.append(picture)
    path = write(tmp_path / "v.mp4", pictures, [0.2 * i for i in range(6)])
    found = analyse_video(path, predictor(YuNetDetector()))
    assert list(found.tracks) == [0]
    rows = found.tracks[0]
    assert len(rows) >= 5
    assert rows[-1].bbox[0] - rows[0].bbox[0] > 70, "the face moved"
    assert rows[-1].bbox[0] > rows[0].bbox[2] - 10, "the last box does not overlap the first"


def test_two_faces_keep_their_tracks_when_the_detector_changes_their_order(tmp_path):
    """The blue box becomes the larger one from the seventh frame on."""
    pictures = [square((RED, 10 + 6 * i, 10), (BLUE, 140 - 6 * i, 90)) for i in range(12)]
    for picture in pictures[6:]:
        picture.paste(BLUE, (100, 80, 118, 100))
    found = analyse_video(write(tmp_path / "v.mp4", pictures), predictor(), rate=None)
    assert len(found.tracks) == 2
    for rows in found.tracks.values():
        tops = [row.bbox[1] for row in rows]
        assert max(tops) - min(tops) < 20, "red stays above, blue below"


def test_boxes_in_another_order_are_matched_by_their_place():
    tracker = Tracker()
    assert tracker.update(0, [(0, 0, 10, 10), (100, 0, 110, 10)]) == [0, 1]
    assert tracker.update(1, [(101, 0, 111, 10), (1, 0, 11, 10)]) == [1, 0]


def test_tracks_and_boxes_are_paired_for_the_largest_sum_of_overlaps():
    tracker = Tracker(min_overlap=0.1)
    tracker.update(0, [(0, 0, 10, 10), (6, 0, 16, 10)])
    assert tracker.update(0.1, [(4, 0, 14, 10), (-3, 0, 7, 10)]) == [1, 0]


def test_a_face_that_moves_faster_than_its_width_is_followed_by_its_speed():
    tracker = Tracker()
    ids = [
        tracker.update(t, [(x, 0, x + 20, 20)])[0]
        for t, x in ((0, 0), (0.2, 10), (0.4, 25), (0.6, 45), (0.8, 70), (1.0, 97), (1.2, 124), (1.6, 178))
    ]
    assert ids == [0] * 8, "between the last two the box moves 54 pixels and is 20 wide"


def test_a_track_ends_after_a_gap_and_its_id_is_not_used_again():
    tracker, box = Tracker(max_gap=1.0), (0, 0, 10, 10)
    assert tracker.update(0, [box]) == [0]
    assert tracker.update(0.5, []) == []
    assert tracker.update(1.0, [box]) == [0]
    assert tracker.update(2.1, [box]) == [1]
    assert tracker.update(2.2, [box, (50, 0, 60, 10)]) == [1, 2]
    with pytest.raises(InputError, match=r"time=2\.0 is before 2\.2"):
        tracker.update(2.0, [])


@pytest.mark.parametrize("options", [{"min_overlap": 0}, {"min_overlap": 1}, {"max_gap": -1}, {"max_gap": math.nan}])
def test_invalid_tracker_settings_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Tracker(**options)


def test_a_face_that_returns_after_a_longer_gap_gets_another_track(tmp_path):
    pictures = [square((RED, 20, 20))] * 4 + [square()] * 20 + [square((RED, 20, 20))] * 4
    path = write(tmp_path / "v.mp4", pictures)
    assert list(analyse_video(path, predictor()).tracks) == [0, 1]
    assert list(analyse_video(path, predictor(), max_gap=3).tracks) == [0]


# smoothing


def test_the_smoothed_curve_has_its_time_constant_at_any_frame_rate():
    for rate in (2, 5, 30):
        smoother = Smoother(0.5)
        smoother.update(0, 0.0, np.array([1.0, 0.0]))
        for i in range(1, 2 * rate + 1):
            value = smoother.update(0, i / rate, np.array([0.0, 1.0]))
        assert value == pytest.approx([math.exp(-2 / 0.5), 1 - math.exp(-2 / 0.5)])


def test_tracks_are_smoothed_independently_and_zero_disables_smoothing():
    smoother = Smoother(1.0)
    smoother.update(0, 0, np.array([1.0, 0.0]))
    assert list(smoother.update(1, 0.1, np.array([0.0, 1.0]))) == [0, 1]
    raw = Smoother(0)
    raw.update(0, 0, np.array([1.0, 0.0]))
    assert list(raw.update(0, 0.1, np.array([0.25, 0.75]))) == [0.25, 0.75]
    with pytest.raises(ConfigError, match="seconds=-1"):
        Smoother(-1)


def test_raw_probabilities_are_kept_and_equal_those_of_predict(tmp_path):
    pictures = [square((RED, 20 + 2 * i, 20 + 5 * (i % 2))) for i in range(6)]
    path = write(tmp_path / "v.mp4", pictures)
    found = analyse_video(path, predictor(), rate=None, smoothing=0.5)
    means = Smoother(0.5)
    for row, frame in zip(found.faces, read_frames(path, None), strict=True):
        [prediction] = predictor().predict(frame.image)
        assert (row.bbox, row.time) == (prediction.bbox, frame.time)
        assert_same_probs(row.raw, prediction.probs)
        smoothed = means.update(0, frame.time, np.array(list(prediction.probs.values())))
        assert_same_probs(list(row.smooth.values()), smoothed)
        assert sum(row.smooth.values()) == pytest.approx(1)


# output files


@pytest.fixture
def timeline() -> Timeline:
    even = dict.fromkeys(FER2013.labels, 1 / 7)
    happy = {**dict.fromkeys(FER2013.labels, 0.05), "happy": 0.7}
    rows = [TrackedFace(i, i / 5, i % 2, (1, 2, 30, 40), even, happy, 0.9, "yunet") for i in range(6)]
    return Timeline("v.mp4", "native48", FER2013.labels, 5.0, 0.5, 6, 1.0, tuple(rows))


def test_the_csv_has_one_row_per_face_with_raw_and_smoothed_columns(timeline, tmp_path):
    timeline.to_csv(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert {f"{kind}_{label}" for kind in ("raw", "smooth") for label in FER2013.labels} <= set(rows[0])
    expected = {"frame": "3", "time": "0.6000", "track": "1", "label": "happy", "bottom": "40"}
    assert {name: rows[3][name] for name in expected} == expected
    assert (float(rows[0]["raw_happy"]), float(rows[0]["smooth_happy"])) == pytest.approx((1 / 7, 0.7), abs=1e-6)


def test_the_plot_has_one_panel_per_track_and_works_without_tracks(timeline, tmp_path):
    timeline.to_png(tmp_path / "t.png")
    none = Timeline("v.mp4", "native48", FER2013.labels, 5.0, 0.5, 6, 1.0, ())
    none.to_png(tmp_path / "n.png")
    two, one = (Image.open(tmp_path / name) for name in ("t.png", "n.png"))
    assert two.height > one.height
    assert np.asarray(two.convert("RGB")).std() > 10
    with pytest.raises(InputError, match=r"\.png"):
        timeline.to_png(tmp_path / "t.pdf")


def test_the_summary_has_each_tracks_time_span_and_label_shares(timeline):
    assert timeline.summary()["tracks"][1] == {
        "track": 1,
        "begin": 0.2,
        "end": 1.0,
        "frames": 3,
        "shares": {"happy": 1.0},
    }
    assert json.loads(json.dumps(timeline.summary()))["labels"] == list(FER2013.labels)


def test_the_annotated_video_plays_in_browsers_and_keeps_the_times(tmp_path):
    """H.264 in yuv420p with even sides, and the index before the frames."""
    times = [0, 0.2, 0.25, 1.0]
    with AnnotatedVideo(tmp_path / "a.mp4", 5) as video:
        for time in times:
            video.add(square((RED, 20, 20), size=(193, 145)), time)
        assert not (tmp_path / "a.mp4").exists()
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (192, 144)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    assert [f.time for f in read_frames(tmp_path / "a.mp4", None)] == pytest.approx(times, abs=0.001)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_annotated_frame_shows_box_and_text_and_the_original_is_unchanged(timeline):
    image = Image.new("RGB", (200, 150), GRAY)
    row = timeline.faces[0]
    drawn = np.asarray(draw_tracked_faces(image, [TrackedFace(0, 0.0, 0, (60, 50, 120, 110), row.raw, row.smooth)]))
    assert tuple(drawn[50, 90]) == (255, 209, 102)
    assert tuple(drawn[80, 90]) == GRAY
    assert (drawn[30:50, 60:120] < 40).all(axis=-1).any(), "dark letters above the box"
    assert np.asarray(image).std() == 0
    assert draw_tracked_faces(Image.new("RGB", (20, 10)), [row]).size == (20, 10)


def test_an_annotated_video_without_frames_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), AnnotatedVideo(tmp_path / "a.mp4", 5) as video:
        video.add(square(), 1 / 0)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_csv_plot_and_video(tmp_path, capsys, monkeypatch):
    path = write(tmp_path / "clip.mp4", [square((RED, 20, 20))] * 6)
    monkeypatch.chdir(tmp_path)
    assert main(["video", str(path), "--no-detect", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["frames"], summary["model"], len(summary["tracks"])) == (3, "native48", 1)
    assert sorted(p.name for p in (tmp_path / "clip").iterdir()) == ["annotated.mp4", "timeline.csv", "timeline.png"]
    assert main(["video", str(path), "--no-detect", "--out", "other", "--rate", "10"]) == 0
    assert "clip.mp4: 6 frames over 0.5 s, 1 face\n" in capsys.readouterr().out
    (tmp_path / "bad.mp4").write_text("no video")
    assert main(["video", "bad.mp4"]) == 2
    assert not (tmp_path / "bad").exists()
