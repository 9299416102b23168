"""API reference page: content, offline use, curl commands, forms, key."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from emotion_hub.preprocess import UPSCALE224
from emotion_hub.serve import ServeConfig, create_app
from emotion_hub.serve.docs.page import docs_page
from emotion_hub.serve.docs.schema_tables import type_html
from tests.fakes.api_server import photo, predictor, running

if TYPE_CHECKING:
    from playwright import sync_api as playwright

CHROMIUM = "/usr/bin/chromium"
KEY = "correct horse"
MODELS = {"native48": predictor(0, name="native48"), "upscale224": predictor(1, name="upscale224", config=UPSCALE224)}
STATIC = ("docs.css", "docs.js")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(create_app(MODELS)) as client:
        yield client


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx.Client]:
    with running(create_app(MODELS, config=ServeConfig(api_key=KEY))) as client:
        yield client


class Tags(HTMLParser):
    """The name and attributes of every tag, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def commands(text: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)]


# the page


def test_page_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    page = client.get("/docs")
    loading = {
        "script": "src",
        "link": "href",
        "img": "src",
        "iframe": "src",
        "form": "action",
        "base": "href",
        "a": "href",
    }
    addresses = [attributes.get(loading[tag]) for tag, attributes in Tags(page.text).tags if tag in loading]
    assert {"docs/docs.css", "docs/docs.js"} <= set(addresses)
    assert [address for address in addresses if address and ("//" in address or address.startswith("http"))] == []
    for name in STATIC:
        assert not re.search(r"https?:|url\(|@import|//[a-z]+\.", client.get(f"/docs/{name}").text), name
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page.text), (
        "the content security policy would block it"
    )


def test_fastapis_own_documentation_pages_are_disabled(client: httpx.Client) -> None:
    assert [client.get(path).status_code for path in ("/redoc", "/docs/oauth2-redirect")] == [404, 404]
    assert not re.search("swagger|redoc|jsdelivr|unpkg", client.get("/docs").text, re.IGNORECASE)


def test_page_shows_every_operation_parameter_field_status_and_type(client: httpx.Client) -> None:
    document, page = client.get("/openapi.json").json(), client.get("/docs").text
    parsed = Tags(page)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {
        attributes["href"][1:] for tag, attributes in parsed.tags if tag == "a" and attributes["href"].startswith("#")
    }
    assert links <= set(ids)
    sections = dict(re.findall(r'<section class="(?:operation|schema)" id="([^"]+)">(.*?)</section>', page, re.DOTALL))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            section = sections["-".join([method, *(part.strip("{}") for part in path.split("/") if part)])]
            assert f"<code>{path}</code>" in section
            assert html.escape(operation["summary"]) in section
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in section
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                assert f"<code>{html.escape(kind)}</code>" in section
                for name in body["schema"].get("properties", ()):
                    assert f"<code>{name}</code>" in section
            for status in operation["responses"]:
                assert f"<code>{status}</code>" in section
    for name, schema in document["components"]["schemas"].items():
        assert all(f"<code>{field}</code>" in sections[f"schema-{name}"] for field in schema["properties"])
    assert "<code>parameters.top_k</code>" in sections["post"]


def test_page_with_its_files_is_smaller_than_100_kb(client: httpx.Client) -> None:
    assert len(client.get("/docs").content) + sum(len(client.get(f"/docs/{name}").content) for name in STATIC) < 100_000


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("requires_key", [False, True])
def test_every_curl_command_on_the_page_works(
    client: httpx.Client, locked: httpx.Client, tmp_path: Path, requires_key: bool
) -> None:
    server, environment = (
        (locked, os.environ | {"EMOTION_HUB_API_KEY": KEY}) if requires_key else (client, dict(os.environ))
    )
    (tmp_path / "photo.jpg").write_bytes(photo(size=(900, 700), kind="JPEG"))
    curl_commands = commands(server.get("/docs", auth=("me", KEY)).text)
    assert len(curl_commands) == 3 * 3 + 2 * 2 + 4
    assert all(
        ("Authorization" in command) == (requires_key and not re.search("/(health|ready)$", command))
        for command in curl_commands
    )
    for command in curl_commands:
        command = command.replace('"gradcam"', '"lime"')  # these networks do not run in torch
        if "/explain" in command and "printf" not in command:
            command += "?method=lime"
        process = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert process.returncode == 0, process.stderr
        assert "error" not in process.stdout[:9], (command, process.stdout)


def test_json_command_sends_images_larger_than_one_shell_argument(client: httpx.Client, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    import numpy as np
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    noise.save(tmp_path / "photo.jpg", "PNG")
    assert (tmp_path / "photo.jpg").stat().st_size > 131_072, "longer than Linux allows for one argument"
    [command] = [each for each in commands(client.get("/docs").text) if "printf" in each and each.endswith("/predict")]
    process = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert json.loads(process.stdout)["width"] == 400, process.stderr


def test_html_is_escaped_and_urls_are_quoted_for_the_shell() -> None:
    app = create_app(MODELS)
    page = docs_page(app.openapi(), "http://x/;rm -rf <i>'\"/", model="<b>'\"$(id)", requires_key=True, has_demo=False)
    assert "<b>'" not in page
    assert "<i>" not in page
    [command] = [each for each in commands(page) if "models/<b>" in each and "-F" not in each and "printf" not in each]
    printed = subprocess.run(
        ["sh", "-c", command.replace("curl", "printf '%s\\n'")], capture_output=True, text=True, timeout=20
    ).stdout
    assert printed.splitlines()[-1] == "http://x/;rm -rf <i>'\"/models/<b>'\"$(id)"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 10, "maximum": 5000}, "integer, 10 to 5000"),
        ({"type": "integer", "minimum": 0, "maximum": 4294967295}, "integer, 0 to 4294967295"),
        ({"type": "number", "minimum": 0.0}, "number, at least 0"),
        ({"type": ["integer", "null"], "minimum": 1}, "integer, at least 1 or null"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}, "list of 4 integer"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/A"}}, 'list of <a href="#schema-A">A</a>'),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"type": "object", "additionalProperties": True}, "object"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"enum": ["a", None]}, "<code>&quot;a&quot;</code> | <code>null</code>"),
        ({"type": "string", "format": "binary"}, "file"),
        ({}, "any"),
    ],
)
def test_schema_types_are_written_in_words(schema: dict, words: str) -> None:
    assert type_html(schema) == words


def test_key_protects_the_page_and_its_files_with_basic_authentication(locked: httpx.Client) -> None:
    for path in ("/docs", *(f"/docs/{name}" for name in STATIC)):
        refused = locked.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="emotion_hub"')
        assert locked.get(path, auth=("me", KEY)).status_code == 200
    page = locked.get("/docs", auth=("me", KEY)).text
    assert "$EMOTION_HUB_API_KEY" in page
    assert KEY not in page


# in a browser


def in_chromium(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that drives Chromium."""
    missing = not os.access(CHROMIUM, os.X_OK)
    return pytest.mark.browser(
        pytest.mark.skipif(missing, reason=f"{CHROMIUM} is not installed (Debian package chromium)")(test)
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.Browser]:
    with pytest.importorskip("playwright.sync_api").sync_playwright() as engine:
        browser = engine.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(
    chromium: playwright.Browser, client: httpx.Client, path: str = "/docs", **options: object
) -> Iterator[playwright.Page]:
    """The page in a browser that blocks other hosts; fails if it requests one or logs a script error."""
    context = chromium.new_context(**options)
    page, blocked, errors = context.new_page(), [], []
    page.set_default_timeout(30_000)
    base_url = str(client.base_url).rstrip("/")

    def block_other_hosts(route: playwright.Route) -> None:
        if route.request.url.startswith((f"{base_url}/", "data:")):
            route.continue_()
        else:
            blocked.append(route.request.url)
            route.abort()

    context.route("**/*", block_other_hosts)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{base_url}{path}")
    yield page
    context.close()
    assert (blocked, errors) == ([], [])


def _assert_operations_listed(page: playwright.Page, client: httpx.Client, **auth: object) -> None:
    paths = client.get("/openapi.json", **auth).json()["paths"]
    shown = [" ".join(row.inner_text().split()[:2]) for row in page.locator("nav tbody tr").all()]
    assert shown == [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    assert page.locator("section.operation").count() == len(shown)
    assert page.locator("section.operation:visible").count() == len(shown)


@in_chromium
@pytest.mark.parametrize("scripts", [True, False])
def test_operations_are_listed_without_internet_and_without_scripts(
    chromium: playwright.Browser, client: httpx.Client, scripts: bool
) -> None:
    with opened(chromium, client, java_script_enabled=scripts) as page:
        _assert_operations_listed(page, client)
        assert page.locator("form.try:visible").count() == (9 if scripts else 0)
        if scripts:  # evaluate() needs scripts too
            assert (
                page.locator(".method.post").first.evaluate("e => getComputedStyle(e).backgroundColor")
                == "rgb(38, 122, 72)"
            )


@in_chromium
def test_form_sends_its_request_and_shows_the_response(
    chromium: playwright.Browser, client: httpx.Client, tmp_path: Path
) -> None:
    (tmp_path / "me.png").write_bytes(photo())
    with opened(chromium, client) as page:
        form = page.locator('form[data-path="/predict"]')
        form.locator("input[type=file]").set_input_files(tmp_path / "me.png")
        form.locator("[name=whole]").select_option("true")
        form.locator("button").click()
        form.locator(".response pre").wait_for()
        assert form.locator(".response p").inner_text().startswith("200 OK")
        assert json.loads(form.locator(".response pre").inner_text())["bbox"] == [0, 0, 120, 100]

        form = page.locator('form[data-path="/models/{name}"]')
        assert form.locator("[name=name]").input_value() == "native48"
        form.locator("[name=name]").fill("upscale224")
        form.locator("input[type=file]").set_input_files(tmp_path / "me.png")
        form.locator("button").click()
        form.locator(".response pre").wait_for()
        expected = client.post("/models/upscale224", content=photo()).json()
        assert [row["label"] for row in json.loads(form.locator(".response pre").inner_text())] == [
            row["label"] for row in expected
        ]

        form = page.locator('form[data-path="/explain"]')
        form.locator("input[type=file]").set_input_files(tmp_path / "me.png")
        form.locator("[name=method]").select_option("lime")
        form.locator("[name=samples]").fill("100")
        form.locator("button").click()
        form.locator(".response img").wait_for()
        assert form.locator(".response img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 224

        form = page.locator('form[data-path="/metrics"]')
        form.locator("button").click()
        form.locator(".response pre").wait_for()
        assert "emotion_hub_requests_total" in form.locator(".response pre").inner_text()


@in_chromium
@pytest.mark.parametrize("path", ["/docs", "/"])
def test_page_files_and_forms_work_after_basic_authentication(
    chromium: playwright.Browser, locked: httpx.Client, tmp_path: Path, path: str
) -> None:
    (tmp_path / "me.png").write_bytes(photo())
    with opened(chromium, locked, path, http_credentials={"username": "me", "password": KEY}) as page:
        assert page.url.endswith("/docs")
        _assert_operations_listed(page, locked, auth=("me", KEY))
        form = page.locator('form[data-path="/"]')
        form.locator("input[type=file]").set_input_files(tmp_path / "me.png")
        form.locator("button").click()
        form.locator(".response pre").wait_for()
        assert form.locator(".response p").inner_text().startswith("200 OK")


@in_chromium
def test_page_fits_the_width_of_a_phone(chromium: playwright.Browser, client: httpx.Client) -> None:
    with opened(chromium, client, viewport={"width": 360, "height": 740}, is_mobile=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
