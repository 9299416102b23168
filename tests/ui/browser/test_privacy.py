"""Browser storage after a visit: it holds nothing of photos or answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.demo_browser import chromium_marks, face_crops
from tests.fakes.demo_page import TABS, Visitor

pytestmark = [*chromium_marks, pytest.mark.slow]
pytest.importorskip("playwright.sync_api")

#: Every entry of the four stores that a page can write to, by store and key.
STORED = """async () => {
    const found = {};
    for (const [name, store] of [["localStorage", localStorage], ["sessionStorage", sessionStorage]])
        for (let i = 0; i < store.length; i++)
            found[`${name} ${store.key(i)}`] = String(store.getItem(store.key(i))).slice(0, 200);
    for (const { name } of await indexedDB.databases()) {
        const base = await new Promise((done, failed) => {
            const r = indexedDB.open(name);
            r.onsuccess = () => done(r.result);
            r.onerror = failed;
        });
        for (const table of base.objectStoreNames) {
            const count = await new Promise((done) => {
                base.transaction(table).objectStore(table).count().onsuccess = (e) => done(e.target.result);
            });
            found[`IndexedDB ${name} ${table}`] = String(count);
        }
        base.close();
    }
    for (const name of await caches.keys())
        found[`Cache ${name}`] = String((await (await caches.open(name)).keys()).length);
    return found;
}"""

#: Entries that gradio may store: none.
ALLOWED: dict[str, str] = {}


def test_the_browser_stores_nothing_after_a_visit_of_all_tabs(
    open_visitor: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor = open_visitor()
    with visitor.new_answer(), visitor.new_answer("ladder"):
        visitor.upload(face_crops(tmp_path)[0])
    for tab in TABS:
        visitor.tab(tab)
        if tab in ("compare", "predict", "explain"):
            visitor.wait_for_answer(tab)
    assert visitor.page.evaluate(STORED) == ALLOWED
    visitor.page.reload()  # entries that a page writes when it is left or restored are found here
    visitor.page.locator("#compare-answer .eh-compare").wait_for()
    assert visitor.page.evaluate(STORED) == ALLOWED
    assert visitor.context.cookies() == []


def test_the_check_of_the_browsers_stores_finds_existing_entries(open_visitor: Callable[..., Visitor]) -> None:
    page = open_visitor().page
    page.evaluate(
        "async () => { localStorage.setItem('a', '1'); sessionStorage.setItem('g', '2');"
        " (await caches.open('b')).put('/x', new Response('y')); }"
    )
    page.evaluate(
        "() => new Promise((done) => { const r = indexedDB.open('c');"
        " r.onupgradeneeded = () => r.result.createObjectStore('d');"
        " r.onsuccess = () => { const t = r.result.transaction('d', 'readwrite'); t.objectStore('d').put('e', 'f');"
        " t.oncomplete = () => { r.result.close(); done(); }; }; })"
    )
    assert page.evaluate(STORED) == {
        "localStorage a": "1",
        "sessionStorage g": "2",
        "Cache b": "1",
        "IndexedDB c d": "1",
    }
