"""The demo's explain tab: stream of maps, cancelling, sessions, errors, JSON."""

from __future__ import annotations

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

from emotion_hub.backends import TorchBackend
from emotion_hub.examples import example_path
from emotion_hub.labels import FER2013
from emotion_hub.ui import explain as tab
from emotion_hub.ui.explain import BOTH, NOTHING, PREDICTED, cancel, explain_json, explain_stream
from emotion_hub.ui.photo import WAITING
from tests.fakes.html_page import Page, picture, text_of


def test_the_stream_shows_progress_then_maps_then_clears_the_progress(face_file: str) -> None:
    seen = list(explain_stream(face_file, ["gradcam", "lime"], "native48", PREDICTED, NOTHING, 200, "map", False))
    assert seen[-1][0] == ""
    assert any("map 2 of 2" in str(progress) for progress, _ in seen)
    answers = [answer for _, answer in seen if isinstance(answer, str)]
    assert answers[0].count("<figure") == 2  # the network input and the first map, which does not wait for LIME
    assert 'data-method="lime"' in answers[-1]
    assert "eh-download" not in answers[-1]


def test_all_methods_together_end_with_a_sheet_to_download(face_file: str) -> None:
    *_, (_, last) = [
        pair
        for pair in explain_stream(face_file, list(tab.SHOWN), "native48", "sad", "happy", 100, "map", False)
        if isinstance(pair[1], str)
    ]
    assert 'download="emotion_hub_explanations.png"' in last
    assert "why sad rather than happy" in last


@pytest.mark.parametrize(("metrics", "tables"), [("none", 0), ("map", 0), ("fast", 1)])
def test_every_map_has_a_finding_and_only_measured_ones_a_table(face_file: str, metrics: str, tables: int) -> None:
    stream = explain_stream(face_file, ["gradcam", "gradcam++"], "native48", PREDICTED, NOTHING, 100, metrics, False)
    last = [answer for _, answer in stream if isinstance(answer, str)][-1]
    page = Page(last)
    findings = [text_of(found) for found in re.findall(r'class="eh-finding">(.*?)</span>', last)]
    assert len(findings) == 2
    assert len(page.all("table")) == tables
    alternatives = [figure["alt"] or "" for figure in page.all("img", "eh-seen")][1:]
    for found, alternative in zip(findings, alternatives, strict=True):
        assert alternative.endswith(found[0].lower() + found[1:])
    if tables:
        assert "probability left when the marked parts are blurred; lower is better" in last


def test_the_chosen_face_is_explained() -> None:
    photo = example_path("group").read_bytes()
    inputs = []
    for face in ("1", "2", "99"):
        stream = explain_stream(photo, ["gradcam"], "native48", PREDICTED, NOTHING, 100, "none", False, face)
        last = [answer for _, answer in stream if isinstance(answer, str)][-1]
        prepared = picture(Page(last).all("img", "eh-seen")[0]["src"])
        inputs.append(np.asarray(prepared).tolist())
    assert inputs[0] != inputs[1]
    assert inputs[2] == inputs[0], "the photo has no such face: the largest one is explained"


@pytest.fixture
def blocked_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An event; networks on torch run once it is set."""
    event, logits = threading.Event(), TorchBackend.logits
    monkeypatch.setattr(TorchBackend, "logits", lambda self, pixels: (event.wait(60), logits(self, pixels))[1])
    yield event
    event.set()
    wait_until_idle()


def wait_until_idle(seconds: float = 30.0) -> None:
    """Wait until no worker thread is busy: each of them takes one more task."""
    gate = threading.Barrier(tab._WORKERS._max_workers + 1, timeout=seconds)
    for _ in range(tab._WORKERS._max_workers):
        tab._WORKERS.submit(gate.wait)
    gate.wait()


def streamed(
    face_file: str, methods: Sequence[str], number: int = 0, session: str = "", samples: int = 2000
) -> Iterator[tuple[Any, Any]]:
    """`explain_stream` on native48 for photo `number` of a session."""
    return explain_stream(
        face_file,
        methods,
        "native48",
        PREDICTED,
        NOTHING,
        samples,
        "none",
        False,
        number=number,
        request=gr.Request(session_hash=session),
    )


def test_cancel_stops_the_method_and_keeps_finished_maps(face_file: str) -> None:
    request = gr.Request(session_hash="visitor")
    stream = streamed(face_file, ["gradcam", "lime"], session="visitor")
    seen = []
    for progress, answer in stream:
        seen.append((progress, answer))
        if "LIME" in str(progress) and "0%" not in str(progress):
            assert cancel(0, request) == gr.skip()
            seen.append(next(stream))
            assert re.search(r"Stopping|Cancelled", str(seen[-1][0])), (
                "the stream shows that it stops, and nothing follows its end"
            )
    assert "Cancelled. 1 of 2 maps were finished." in seen[-1][0]
    assert 'data-method="gradcam"' in seen[-1][1]
    assert 'data-method="lime"' not in seen[-1][1]
    assert "Nothing is running" in cancel(3, request)["html"]
    assert cancel(3, request)["photo"] == 3
    assert cancel(3, gr.Request(session_hash="another")) == cancel(3, request)


def test_closing_the_page_stops_the_job(face_file: str) -> None:
    stream = streamed(face_file, ["lime"])
    next(stream)
    stream.close()
    assert len(tab._JOBS) == 0
    wait_until_idle()


def test_closing_a_stream_does_not_wait_for_the_running_batch(
    face_file: str, blocked_networks: threading.Event
) -> None:
    stream = streamed(face_file, ["gradcam"])
    next(stream)
    started = time.monotonic()
    stream.close()  # gradio closes it in its event loop
    assert time.monotonic() - started < 5
    assert len(tab._JOBS) == 0


def test_a_new_photo_stops_the_jobs_of_its_session_only(face_file: str) -> None:
    streams = [streamed(face_file, ["lime"], 1, session) for session in ("one", "one", "other")]
    for stream in streams:
        next(stream)
    tab.stop_older(2, gr.Request(session_hash="one"))
    for stream in streams[:2]:
        assert "Cancelled" in str(list(stream)[-1][0])
    assert len(tab._JOBS) == 1
    assert "LIME" in str(next(streams[2])[0])
    streams[2].close()
    assert len(tab._JOBS) == 0


def test_a_queued_job_of_a_replaced_photo_computes_nothing(face_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tab, "detected_photo", lambda *_: pytest.fail("the photo was opened"))
    tab.stop_older(5, gr.Request(session_hash="queued"))
    assert list(streamed(face_file, ["gradcam"], 4, "queued")) == [(gr.skip(), gr.skip())]
    assert len(tab._JOBS) == 0


def test_a_job_that_starts_before_the_change_of_its_photo_is_known_is_not_stopped(face_file: str) -> None:
    stream = streamed(face_file, ["gradcam"], 7, "quick")
    next(stream)
    tab.stop_older(7, gr.Request(session_hash="quick"))
    tab.stop_older(6, gr.Request(session_hash="quick"))  # two changes whose requests arrive in reverse order
    assert 'data-method="gradcam"' in str(list(stream))
    assert 'data-method="gradcam"' in str(list(streamed(face_file, ["gradcam"], 7, "quick")))


def test_a_newer_job_stops_older_ones_before_the_change_of_photo_is_known(face_file: str) -> None:
    older = streamed(face_file, ["lime"], 1, "eager")
    next(older)
    assert 'data-method="gradcam"' in str(list(streamed(face_file, ["gradcam"], 2, "eager")))
    assert "Cancelled" in str(list(older)[-1][0])


def photo_values(face_file: str, metrics: str | bool, number: int = 11) -> list[tuple[Any, Any, Any]]:
    """What the tab's events give for the request of this number."""
    return list(
        tab.explain_photo(
            number,
            face_file,
            ["gradcam"],
            metrics,
            "native48",
            PREDICTED,
            NOTHING,
            100,
            False,
            "1",
            gr.Request(session_hash=f"values {number}"),
        )
    )


def test_every_answer_of_the_tab_has_the_number_of_its_request(face_file: str) -> None:
    given = photo_values(face_file, "map")
    values = [value for *pair, _ in given for value in pair]
    assert {value["photo"] for value in values if value != gr.skip()} == {11}
    updates = [update for *_, update in given if update != gr.skip()]
    assert [(update["choices"], update["visible"]) for update in updates] == [(["1"], False)], "one face"
    assert any("eh-finding" in value["html"] for value in values if value != gr.skip())


def test_nothing_is_explained_before_a_request(face_file: str) -> None:
    assert photo_values(face_file, "map", -1) == [(gr.skip(), gr.skip(), gr.skip())]


@pytest.mark.parametrize(("chosen", "level"), [("map", "map"), (False, "fast"), (True, "full")])
def test_the_box_of_all_scores_chooses_the_level(
    chosen: str | bool, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = []

    def stream(*values: Any) -> Iterator[tuple[Any, Any]]:
        levels.append(values[6])
        yield "", ""

    monkeypatch.setattr(tab, "explain_stream", stream)
    photo_values("", chosen, 12)
    assert levels == [level]


def test_errors_are_shown_in_place_of_the_answer(face_file: str, tmp_path: Path) -> None:
    def last(*args: object) -> str:
        return list(explain_stream(*args))[-1][1]

    rest = (100, "map", False)
    assert last(None, [], BOTH, PREDICTED, NOTHING, *rest) == WAITING
    assert "both &#x27;happy&#x27;" in last(face_file, [], "native48", "happy", "happy", *rest)
    (tmp_path / "x.png").write_text("no picture")
    assert "This picture cannot be read." in last(str(tmp_path / "x.png"), [], BOTH, PREDICTED, NOTHING, *rest)
    plain = tmp_path / "plain.png"
    Image.new("RGB", (200, 160), "teal").save(plain)
    assert "No face was found" in last(str(plain), [], BOTH, PREDICTED, NOTHING, *rest)


def test_explain_json_is_one_explanation_with_its_maps(face_file: str) -> None:
    answer = explain_json(face_file, "shap", "native48", PREDICTED, NOTHING, 400, False)
    assert json.loads(json.dumps(answer)) == answer
    assert np.shape(answer["heatmap"]) == np.shape(answer["signed"]) == (48, 48)
    assert answer["target"] in FER2013.labels
    for method, target in (("nonsense", PREDICTED), ("gradcam", "bored")):
        with pytest.raises(gr.Error, match=f"{'nonsense' if method == 'nonsense' else 'bored'}"):
            explain_json(face_file, method, "native48", target, NOTHING, 400, False)
