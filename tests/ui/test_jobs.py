"""Running jobs per session: which of them a newer request stops."""

from __future__ import annotations

from emotion_hub.ui.jobs import SESSIONS, Jobs


def test_a_newer_request_stops_older_jobs_of_its_session_only() -> None:
    jobs = Jobs()
    older, same, other = jobs.start("mine", 1), jobs.start("mine", 2), jobs.start("other", 1)
    assert [stop.is_set() for stop in (older, same, other)] == [True, False, False]
    jobs.newest("mine", 3)
    assert [stop.is_set() for stop in (same, other)] == [True, False]
    assert [jobs.is_old("mine", number) for number in (2, 3, 4)] == [True, False, False]


def test_the_order_in_which_requests_arrive_does_not_matter() -> None:
    jobs = Jobs()
    jobs.newest("mine", 5)
    jobs.newest("mine", 4)
    assert jobs.is_old("mine", 4)
    assert jobs.start("mine", 4).is_set(), "it computes nothing"


def test_all_jobs_of_a_session_can_be_stopped_and_ended_ones_are_forgotten() -> None:
    jobs = Jobs()
    running = [jobs.start("mine", 1) for _ in range(2)]
    other = jobs.start("other", 1)
    assert (jobs.stop("mine"), jobs.stop("nobody")) == (2, 0)
    assert [stop.is_set() for stop in (*running, other)] == [True, True, False]
    for stop in running:
        jobs.end("mine", stop)
    assert len(jobs) == 1


def test_the_number_of_sessions_in_memory_is_bounded() -> None:
    jobs = Jobs()
    for number in range(SESSIONS + 50):
        jobs.newest(str(number), 2)
    assert len(jobs._newest) == SESSIONS
    assert jobs.start(str(SESSIONS), 1).is_set()
    assert not jobs.start("0", 1).is_set(), "the oldest session was not dropped"
