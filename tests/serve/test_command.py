"""Serve command: settings, log lines, mounted demo, exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest

from emotion_hub.cli.main import make_parser
from emotion_hub.errors import ConfigError
from emotion_hub.serve import ServeConfig, create_app, mount_demo
from emotion_hub.serve.command import KEY_VARIABLE, config_of
from tests.fakes.api_server import photo, predictor, running, until

ROOT = Path(__file__).resolve().parents[2]
KEY = "correct horse"


def settings(*arguments: str) -> dict:
    return {
        name: value
        for name, value in vars(make_parser().parse_args(["serve", *arguments])).items()
        if name not in ("run", "no_demo")
    }


def test_command_line_arguments_set_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert config_of(settings()) == ServeConfig()
    arguments = (
        "--host 0.0.0.0 --port 9 --model native48 --model me/mine --default me/mine --backend torch "
        "--cors https://a.org --cors * --queue 5 --workers 3 --batch 7 --batch-wait 1.5 --timeout 9 --body-timeout 6 "
        "--explain-timeout 8 --max-body 5000"
    )
    given = settings(*arguments.split(), "--api-key", KEY)
    expected = ServeConfig(
        models=("native48", "me/mine"),
        default="me/mine",
        backend="torch",
        host="0.0.0.0",
        port=9,
        api_key=KEY,
        cors=("https://a.org", "*"),
        queue=5,
        workers=3,
        batch=7,
        batch_wait=1.5,
        timeout=9.0,
        body_timeout=6.0,
        explain_timeout=8.0,
        max_body=5000,
    )
    assert config_of(given) == expected


def test_api_key_is_read_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert config_of({}).api_key == KEY
    assert config_of({"api_key": "another key"}).api_key == "another key"
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(ConfigError, match="5 characters"):
        config_of({})


@contextlib.contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen, str]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "emotion_hub", "serve", "--port", str(port), *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            stream.close()


def alive(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/ready", timeout=10).status_code == 200
    return False


@pytest.mark.slow
def test_command_serves_api_and_demo_and_exits_with_0(tmp_path: Path) -> None:
    with started("--model", "native48", "--backend", "torch", TMPDIR=str(tmp_path), **{KEY_VARIABLE: KEY}) as (
        process,
        url,
    ):
        until(lambda: process.poll() is not None or alive(url), 300)
        headers = {"authorization": f"Bearer {KEY}"}
        response = httpx.post(
            f"{url}/predict", files={"image": ("anna.png", photo(size=(48, 48)))}, headers=headers, timeout=60
        )
        assert (response.status_code, len(response.json()["faces"])) == (200, 1), response.text
        assert httpx.post(f"{url}/predict", files={"image": photo()}).status_code == 401
        assert "server" not in response.headers
        page = httpx.get(f"{url}/demo/", auth=("anyone", KEY), timeout=60)
        assert (page.status_code, "emotion_hub" in page.text) == (200, True)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert [line["status"] for line in requests if line["method"] == "POST"] == [200, 401]
    assert "anna" not in out + err
    assert not [line for line in lines if line["level"] == "error"]
    assert not list(tmp_path.glob("emotion_hub_uploads_*")), "the demo's upload folder is deleted"


def test_command_exits_with_2_if_a_model_cannot_be_loaded() -> None:
    with started("--model", "nobody", "--no-demo") as (process, _):
        out, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "error: no checkpoint 'nobody'; use emotion_cnn, native48" in err
    assert any("could not be loaded" in json.loads(line)["message"] for line in out.splitlines())


def test_command_exits_with_2_for_a_wrong_setting(capsys: pytest.CaptureFixture) -> None:
    from emotion_hub.__main__ import main

    assert main(["serve", "--queue", "0"]) == 2
    assert "queue=0: a whole number of at least 1" in capsys.readouterr().err


# the mounted demo


def small_demo() -> gr.Blocks:
    with gr.Blocks(title="a small page", analytics_enabled=False) as demo:
        gr.Markdown("hello")
    return demo


def test_mounted_demo_keeps_its_limits_and_does_not_change_the_api() -> None:
    demo = small_demo()
    app = mount_demo(
        create_app({"tiny": predictor()}),
        demo,
        {"max_file_size": 1234, "share": False, "footer_links": ["api"], "css_paths": None},
    )
    assert (demo.max_file_size, demo.footer_links) == (1234, ["api"])
    with running(app) as client:
        page = client.get("/demo/", headers={"origin": "https://other.org", "host": "api.example.org"})
        assert (page.status_code, "a small page" in page.text) == (200, True)
        assert not [name for name in page.headers if name.startswith("access-control")]
        assert client.post("/predict", content=photo(), headers={"content-type": "image/png"}).status_code == 200
        assert client.get("/nothing").json()["error"].startswith("no such path")
        text = client.get("/metrics").text
        assert 'route="/demo",status="200"' in text
        assert "/demo" not in client.get("/openapi.json").text


def test_key_protects_the_demo_with_basic_authentication() -> None:
    app = mount_demo(create_app({"tiny": predictor()}, config=ServeConfig(api_key=KEY)), small_demo(), {})
    with running(app) as client:
        refused = client.get("/demo/")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="emotion_hub"')
        assert client.get("/demo/", auth=("me", KEY)).status_code == 200


def test_mount_gradio_app_accepts_our_launch_options() -> None:
    import inspect

    from emotion_hub.ui import launch_options

    assert set(launch_options()) - set(inspect.signature(gr.mount_gradio_app).parameters) <= {"share"}
