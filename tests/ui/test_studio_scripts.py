"""Scripts of the studio, run by node: photo, tabs, settings, main button."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.drawn_page import TEXTS, DrawnPage, drawn_page
from tests.fakes.javascript import Ran, needs_node, run_scripts

pytestmark = needs_node


@pytest.fixture(scope="module")
def page() -> DrawnPage:
    return drawn_page()


def test_a_new_photo_clears_every_answer_and_computes_those_of_the_open_tab(page: DrawnPage) -> None:
    [result] = run_scripts(page.changed("new.png")).results
    updates = page.updates(page.studio.photo, "change", result)
    assert updates["first"] == updates["latest"] == 1
    assert "second" not in updates, "its tab is not open"
    for name in "abc":
        assert updates[name]["value"] is None
        assert updates[name]["props"] == {"photo": 1, "empty": TEXTS[name][1], "field": name}
    assert updates["raw"] == []
    assert updates["face"] == {"__type__": "update", "value": "1", "visible": False}


def test_an_update_of_a_field_has_all_its_properties(page: DrawnPage) -> None:
    """gradio replaces the properties of a field that is not in the page yet."""
    [result] = run_scripts(page.changed("new.png")).results
    updates = page.updates(page.studio.photo, "change", result)
    fields = [field for unit in page.studio.units.values() for field in unit.fields]
    assert len(fields) == 3
    for each in fields:
        assert set(updates[each.elem_id]["props"]) == set(each.props)


def test_a_repeated_change_of_the_same_photo_does_not_count(page: DrawnPage) -> None:
    ran = run_scripts(page.changed(page.photo_path, "new.png", "new.png", "other.png"))
    assert [bool(result) for result in ran.results] == [False, True, False, True], "the first is the photo on arrival"
    assert ran.state["emotion_hub"]["count"] == 2
    assert page.updates(page.studio.photo, "change", ran.results[3])["first"] == 2


def test_a_removed_photo_leaves_the_text_that_asks_for_one(page: DrawnPage) -> None:
    ran = run_scripts([*page.changed(None), *page.changed("new.png")])
    removed, added = (page.updates(page.studio.photo, "change", result) for result in ran.results)
    for name in "abc":
        assert removed[name]["props"]["empty"] == TEXTS[name][0]
        assert added[name]["props"]["empty"] == TEXTS[name][1]
    assert (removed["first"], added["first"]) == (1, 2)


def test_a_setting_without_a_photo_keeps_the_text_that_asks_for_one(page: DrawnPage) -> None:
    ran = run_scripts([*page.changed(None), (page.script(page.setting, "input"), [None, False])])
    assert page.updates(page.setting, "input", ran.results[1])["c"]["props"]["empty"] == TEXTS["c"][0]


def test_a_tab_gets_the_newest_number_when_it_is_opened(page: DrawnPage) -> None:
    first, second = page.tabs["one"], page.tabs["two"]
    ran = run_scripts(
        [
            page.opened("two"),
            page.opened("one"),
            *page.changed("a.png", "b.png"),
            page.opened("two"),
            page.opened("one"),
        ]
    )
    on_arrival, back = ran.results[:2]
    assert page.updates(second, "select", on_arrival) == {"second": 0}, "pending until then"
    assert page.updates(first, "select", back) == {"first": 0}, "the page shows its answer on arrival"
    assert page.updates(second, "select", ran.results[4]) == {"second": 2}
    assert page.updates(first, "select", ran.results[5]) == {"first": 2}, "the same number: nothing is computed again"


def test_a_photo_that_changes_while_another_tab_is_open_is_analysed_there(page: DrawnPage) -> None:
    ran = run_scripts([page.opened("two"), *page.changed("a.png"), page.opened("three"), *page.changed("b.png")])
    there = page.updates(page.studio.photo, "change", ran.results[1])
    assert there["second"] == 1
    assert "first" not in there
    nowhere = page.updates(page.studio.photo, "change", ran.results[3])
    assert {"first", "second"}.isdisjoint(nowhere)
    assert nowhere["c"]["props"]["photo"] == 2


def test_a_setting_clears_its_own_units_only(page: DrawnPage) -> None:
    ran = run_scripts([page.opened("two"), (page.script(page.setting, "input"), [{"path": "x"}, False])])
    updates = page.updates(page.setting, "input", ran.results[1])
    assert set(updates) == {"second", "c"}
    assert updates["second"] == 1
    assert updates["c"]["props"]["empty"] == TEXTS["c"][1]
    assert ran.state["emotion_hub"]["due"] == {"second": 1}


def test_a_setting_of_another_tab_leaves_an_answer_that_is_still_right(page: DrawnPage) -> None:
    ran = run_scripts(
        [page.opened("two"), (page.script(page.setting, "input"), [{"path": "x"}, False]), page.opened("one")]
    )
    assert page.updates(page.tabs["one"], "select", ran.results[2]) == {"first": 0}


def test_nothing_happens_while_a_model_is_loading(page: DrawnPage) -> None:
    event = page.event(page.setting, "input")
    assert [block._id for block in event.inputs] == [page.studio.photo._id, page.waiting._id]
    ran = run_scripts([(event.js, [{"path": "x"}, True])])
    assert ran.results == [[]]
    assert ran.state == {}


def test_whole_recomputes_the_same_photo(page: DrawnPage) -> None:
    script = page.script(page.studio.whole, "input")
    ran = run_scripts([(script, [{"path": page.photo_path}])] * 2)
    assert [page.updates(page.studio.whole, "input", result)["first"] for result in ran.results] == [1, 2]


def clicked(page: DrawnPage, *before: tuple[str, list[Any]]) -> tuple[Ran, dict[Any, Any]]:
    ran = run_scripts([*before, (page.script(page.studio.run, "click"), [])])
    return ran, page.updates(page.studio.run, "click", ran.results[-1])


def test_the_main_button_computes_the_open_tab_again(page: DrawnPage) -> None:
    ran, updates = clicked(page)
    assert set(updates) == {"first", "a", "b"}
    assert (updates["first"], updates["a"]["props"]["photo"], ran.clicked) == (1, 1, [])
    ran, updates = clicked(page, page.opened("two"))
    assert set(updates) == {"second", "c"}
    assert ran.state["emotion_hub"]["due"] == {"second": 1}


def test_the_main_button_opens_the_first_tab_from_one_without_an_answer(page: DrawnPage) -> None:
    ran, updates = clicked(page, page.opened("three"))
    assert ran.clicked == ["tab-one-button"]
    assert ran.state["emotion_hub"]["tab"] == "one"
    assert set(updates) == {"first", "a", "b"}
