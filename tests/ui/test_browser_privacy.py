"""Browser storage after a visit: it holds nothing of photos or answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.demo_browser import astronaut, chromium_marks

pytestmark = [*chromium_marks, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api")

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


def opened(browser: playwright.Browser, url: str) -> playwright.Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    return page


def test_the_browser_stores_nothing_after_predict_compare_and_explain(
    browser: playwright.Browser, app_url: str, tmp_path: Path
) -> None:
    photo = tmp_path / "face.png"
    astronaut().crop((160, 20, 290, 180)).resize((60, 60)).save(photo)
    page = opened(browser, app_url)
    answers = {"predict": ".eh-card", "compare": ".eh-compare", "explain": "figure[data-method]:nth-child(3)"}
    for tab, answer in answers.items():
        page.get_by_role("tab", name=tab.title()).click()
        page.set_input_files(f"#{tab}-photo input[type=file]", photo)
        page.wait_for_selector(f"#{tab}-answer {answer}")
    page.wait_for_timeout(1000)
    assert page.evaluate(STORED) == ALLOWED
    page.reload()  # entries that a page writes when it is left or restored are found here
    page.wait_for_selector("#predict-photo input[type=file]", state="attached")
    assert page.evaluate(STORED) == ALLOWED
    assert page.context.cookies() == []
    page.context.close()


def test_the_check_of_the_browsers_stores_finds_existing_entries(browser: playwright.Browser, app_url: str) -> None:
    page = opened(browser, app_url)
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
    page.context.close()
