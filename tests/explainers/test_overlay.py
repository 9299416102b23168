"""Explanations as pictures, in the demo and on the command line."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from emotion_hub.__main__ import main
from emotion_hub.backends import TorchBackend
from emotion_hub.errors import InputError
from emotion_hub.explainers import METHODS, Explanation, explain, list_methods
from emotion_hub.explainers.overlay import colour_bar, overlay, sheet
from emotion_hub.explainers.sheet import explain_all, methods_for
from emotion_hub.labels import FER2013
from emotion_hub.predictor import EmotionPredictor, embedded_predictor
from emotion_hub.ui import explain as tab
from emotion_hub.ui.explain import BOTH, NOTHING, PREDICTED, cancel, explain_json, explain_stream
from emotion_hub.ui.jobs import SESSIONS, Jobs


@pytest.fixture
def face(face_image: Image.Image, tmp_path: Path) -> str:
    path = tmp_path / "face.png"
    face_image.convert("L").resize((48, 48)).save(path)
    return str(path)


def made(
    heatmap: np.ndarray, signed: np.ndarray | None = None, method: str = "gradcam", **scores: object
) -> Explanation:
    side = heatmap.shape[0]
    face = Image.new("L", (side, side), 128)
    return Explanation(heatmap, signed, method, "native48", "happy", None, 0.5, {}, scores, 1.0, face)


def half(side: int = 48) -> np.ndarray:
    values = np.zeros((side, side), np.float32)
    values[:, : side // 2] = 1
    return values


def test_overlay_colours_the_relevant_half_and_leaves_the_other_bare() -> None:
    picture = np.asarray(overlay(made(half()), 96)).astype(int)
    assert picture.shape == (96, 96, 3)
    assert np.ptp(picture[:, 60:], axis=-1).max() <= 1
    assert np.ptp(picture[:, :36], axis=-1).min() > 40


def test_overlay_shows_both_signs_in_two_colours_and_refuses_where_there_is_no_sign() -> None:
    signed = half() * 2 - 1
    picture = np.asarray(overlay(made(half(), signed, "shap"), signed=True)).astype(int)
    assert np.abs(picture[24, 4] - picture[24, 44]).sum() > 60
    with pytest.raises(InputError, match="Grad-CAM knows no sign"):
        overlay(made(half()), signed=True)
    with pytest.raises(InputError, match="opacity=2"):
        overlay(made(half()), opacity=2)


def test_one_outlier_does_not_hide_the_rest() -> None:
    values = half() * 0.05
    values[0, 0] = 1
    picture = np.asarray(overlay(made(values))).astype(int)
    assert np.ptp(picture[24, 5]) > 40


def test_colours_grow_lighter_evenly() -> None:
    light = np.asarray(colour_bar(64).convert("L")).astype(int)[0]
    steps = np.diff(light)
    assert (steps >= 0).all()
    assert steps.max() <= 8
    signed = np.asarray(colour_bar(65, signed=True).convert("L")).astype(int)[0]
    assert signed[32] < signed[0]
    assert signed[32] < signed[-1]


def test_sheet_grows_with_networks_and_methods() -> None:
    one, other = made(half()), made(half(224))
    small = sheet([one])
    wide = sheet([one, one])
    tall = sheet([one, Explanation(**{**vars(other), "model": "upscale224"})])
    assert wide.width > small.width
    assert wide.height == small.height
    assert tall.height > small.height
    with pytest.raises(InputError, match="at least one"):
        sheet([])


def test_methods_for_keeps_the_order_and_names_the_alternatives() -> None:
    predictor = embedded_predictor("native48")
    assert methods_for(["shap", "gradcam", "shap"], predictor) == ["shap", "gradcam"]
    assert methods_for(["all"], predictor) == ["gradcam", "gradcam++", "lime", "shap"] == list_methods(predictor)
    with pytest.raises(
        InputError, match=r"no method 'cam'; choose from gradcam, gradcam\+\+, lime, shap, rollout, all"
    ):
        methods_for(["cam"], predictor)


def test_explain_all_is_explain_method_by_method(face: str) -> None:
    shares: list[float] = []
    found = explain_all(face, ["gradcam", "lime"], samples=100, progress=shares.append)
    assert shares == sorted(shares)
    assert (shares[-1], len(shares) > 4) == (1.0, True)
    assert [(e.model, e.method) for e in found] == [
        (m, k) for m in ("native48", "upscale224") for k in ("gradcam", "lime")
    ]
    np.testing.assert_array_equal(found[1].heatmap, explain(face, "lime", samples=100).heatmap)
    with pytest.raises(InputError, match="models is empty"):
        explain_all(face, models=[])


def test_stream_shows_progress_then_maps_then_clears_the_progress(face: str) -> None:
    seen = list(explain_stream(face, ["gradcam", "lime"], "native48", PREDICTED, NOTHING, 200, False, False))
    assert seen[-1][0] == ""
    assert any("map 2 of 2" in str(progress) for progress, _ in seen)
    answers = [answer for _, answer in seen if isinstance(answer, str)]
    assert answers[0].count("<figure") == 2  # what it saw and the first map: CAMs do not wait for LIME
    assert 'data-method="lime"' in answers[-1]
    assert "eh-download" not in answers[-1]
    assert "probability left as marked parts are blurred" in answers[-1]


def test_all_methods_end_with_a_sheet_to_download(face: str) -> None:
    *_, (_, last) = [
        pair
        for pair in explain_stream(face, list(tab.SHOWN), "native48", "sad", "happy", 100, False, False)
        if isinstance(pair[1], str)
    ]
    assert 'download="emotion_hub_explanations.png"' in last
    assert "rather than <strong>happy</strong>" in last


@pytest.fixture
def waiting_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """torch's networks wait for this event."""
    go, usual = threading.Event(), TorchBackend.logits
    monkeypatch.setattr(TorchBackend, "logits", lambda self, pixels: (go.wait(60), usual(self, pixels))[1])
    yield go
    go.set()
    idle()


def idle(seconds: float = 30.0) -> None:
    """Wait until no thread explains anything: each of them takes one more task."""
    gate = threading.Barrier(tab._WORKERS._max_workers + 1, timeout=seconds)
    for _ in range(tab._WORKERS._max_workers):
        tab._WORKERS.submit(gate.wait)
    gate.wait()


def streamed(
    face: str, methods: Sequence[str], number: int = 0, session: str = "", samples: int = 2000
) -> Iterator[tuple[Any, Any]]:
    return explain_stream(
        face, methods, "native48", PREDICTED, NOTHING, samples, False, False, number, gr.Request(session_hash=session)
    )


def test_cancel_ends_the_method_and_keeps_what_was_finished(face: str) -> None:
    request = gr.Request(session_hash="visitor")
    stream = streamed(face, ["gradcam", "lime"], session="visitor")
    seen = []
    for progress, answer in stream:
        seen.append((progress, answer))
        if "LIME" in str(progress) and "0%" not in str(progress):
            assert cancel(0, request) == gr.skip()
            seen.append(next(stream))
            assert re.search(r"Stopping|Cancelled", str(seen[-1][0])), (
                "the stream says it, and nothing after its end does"
            )
    assert "Cancelled. 1 of 2 maps were finished." in seen[-1][0]
    assert 'data-method="gradcam"' in seen[-1][1]
    assert 'data-method="lime"' not in seen[-1][1]
    assert "Nothing is running" in cancel(3, request)["html"]
    assert cancel(3, request)["photo"] == 3
    assert cancel(3, gr.Request(session_hash="another")) == cancel(3, request)


def test_a_closed_page_stops_the_work(face: str) -> None:
    stream = streamed(face, ["lime"])
    next(stream)
    stream.close()
    assert len(tab._JOBS) == 0
    idle()


def test_closing_a_stream_does_not_wait_for_the_batch_in_hand(face: str, waiting_networks: threading.Event) -> None:
    stream = streamed(face, ["gradcam"])
    next(stream)
    began = time.monotonic()
    stream.close()  # gradio does it in its event loop
    assert time.monotonic() - began < 5
    assert len(tab._JOBS) == 0


def test_a_new_photo_stops_every_job_of_its_own_session_and_no_other(face: str) -> None:
    streams = [streamed(face, ["lime"], 1, session) for session in ("one", "one", "other")]
    for stream in streams:
        next(stream)
    tab._stop_older(2, gr.Request(session_hash="one"))
    for stream in streams[:2]:
        assert "Cancelled" in str(list(stream)[-1][0])
    assert len(tab._JOBS) == 1
    assert "LIME" in str(next(streams[2])[0])
    streams[2].close()
    assert len(tab._JOBS) == 0


def test_a_job_that_comes_to_its_turn_after_its_photo_is_gone_computes_nothing(
    face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tab, "scene_of", lambda *_: pytest.fail("the photo was opened"))
    tab._stop_older(5, gr.Request(session_hash="queued"))
    assert list(streamed(face, ["gradcam"], 4, "queued")) == [(gr.skip(), gr.skip())]
    assert len(tab._JOBS) == 0


def test_a_job_that_overtakes_the_change_of_its_photo_is_not_stopped_by_it(face: str) -> None:
    stream = streamed(face, ["gradcam"], 7, "quick")
    next(stream)
    tab._stop_older(7, gr.Request(session_hash="quick"))
    tab._stop_older(6, gr.Request(session_hash="quick"))  # two changes in a row, the first one's request last
    assert 'data-method="gradcam"' in str(list(stream))
    assert 'data-method="gradcam"' in str(list(streamed(face, ["gradcam"], 7, "quick")))


def test_a_newer_job_stops_the_older_ones_before_the_change_is_known(face: str) -> None:
    older = streamed(face, ["lime"], 1, "eager")
    next(older)
    assert 'data-method="gradcam"' in str(list(streamed(face, ["gradcam"], 2, "eager")))
    assert "Cancelled" in str(list(older)[-1][0])


def test_the_sessions_whose_newest_photo_is_known_are_bounded() -> None:
    jobs = Jobs()
    for number in range(SESSIONS + 50):
        jobs.newest(str(number), 2)
    assert len(jobs._newest) == SESSIONS
    assert jobs.start(str(SESSIONS), 1).is_set()
    assert not jobs.start("0", 1).is_set(), "forgotten"


def test_every_answer_of_the_tab_carries_the_number_of_its_photo(face: str) -> None:
    request = gr.Request(session_hash="visitor")
    for values in tab._explain(face, ["gradcam"], "native48", PREDICTED, NOTHING, 100, False, False, 11, request):
        for value in values:
            assert value == gr.skip() or value["photo"] == 11


def test_what_is_wrong_is_said_in_place_of_the_answer(face: str, tmp_path: Path) -> None:
    def last(*args: object) -> str:
        return list(explain_stream(*args))[-1][1]

    rest = (100, False, False)
    assert "Grad-CAM++ answer at once" in last(None, [], BOTH, PREDICTED, NOTHING, *rest)
    assert "both &#x27;happy&#x27;" in last(face, [], "native48", "happy", "happy", *rest)
    (tmp_path / "x.png").write_text("no picture")
    assert "This picture cannot be read." in last(str(tmp_path / "x.png"), [], BOTH, PREDICTED, NOTHING, *rest)
    plain = tmp_path / "plain.png"
    Image.new("RGB", (200, 160), "teal").save(plain)
    assert "No face was found" in last(str(plain), [], BOTH, PREDICTED, NOTHING, *rest)


def test_json_is_one_explanation_with_its_maps(face: str) -> None:
    answer = explain_json(face, "shap", "native48", PREDICTED, NOTHING, 400, False)
    assert json.loads(json.dumps(answer)) == answer
    assert np.shape(answer["heatmap"]) == np.shape(answer["signed"]) == (48, 48)
    assert answer["target"] in FER2013.labels
    for method, target in (("nonsense", PREDICTED), ("gradcam", "bored")):
        with pytest.raises(gr.Error, match=f"{'nonsense' if method == 'nonsense' else 'bored'}"):
            explain_json(face, method, "native48", target, NOTHING, 400, False)


def test_command_line_writes_a_sheet_and_names_what_is_wrong(
    face: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    assert main(["explain", face, "--model", "native48", "--method", "gradcam", "--out", str(out)]) == 0
    assert "native48" in capsys.readouterr().out
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        assert image.format == "PNG"
    assert (
        main(
            [
                "explain",
                face,
                "--method",
                "gradcam",
                "--method",
                "gradcam++",
                "--json",
                "--metrics",
                "none",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert [e["method"] for e in answer["explanations"]] == ["gradcam", "gradcam++"]
    for argv, words in (
        (["--method", "cam"], "choose from gradcam"),
        (["--target", "bored"], "bored"),
        (["--out", "sheet.gif"], ".png"),
        (["--out", str(tmp_path / "nowhere" / "x.png")], "there is no folder"),
        (["--metrics", "some"], "none, fast, full"),
    ):
        assert main(["explain", face, "--out", str(out), *argv]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "x.png").write_text("no picture")
    assert main(["explain", str(tmp_path / "x.png"), "--out", str(out)]) == 1


def test_missing_package_names_the_pip_command(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from emotion_hub.errors import MissingDependencyError

    monkeypatch.setitem(__import__("sys").modules, "lime.lime_image", None)
    with pytest.raises(
        MissingDependencyError,
        match=r"LIME needs the extra 'explain' \(lime.lime_image is not installed\): pip install",
    ):
        explain(face, "lime")


def test_every_method_has_a_line_that_says_what_it_shows() -> None:
    assert all(method.summary and method.title for method in METHODS.values())


@pytest.mark.parametrize("backend", ["torch", "onnx", "onnx-int8"])
def test_the_command_line_explains_the_backend_that_is_named(
    face: str, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--method",
        "lime",
        "--samples",
        "100",
        "--metrics",
        "none",
        "--json",
        "--out",
        str(tmp_path / "sheet.png"),
    ]
    assert main(["explain", face, "--backend", backend, *options]) == 0
    [found] = json.loads(capsys.readouterr().out)["explanations"]
    [answer] = EmotionPredictor.from_pretrained("native48", backend=backend).predict(face)
    assert (found["target"], found["confidence"]) == (answer.label, pytest.approx(answer.confidence, abs=1e-5))
