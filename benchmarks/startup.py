"""Cold start: time to the first prediction in a new process, and of the app."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import drawn_face, png

__all__ = ["app_start", "first_prediction"]

ROOT = Path(__file__).parent.parent

PREDICT = """
import time; started = time.perf_counter()
import emotion_hub, sys
predictor = emotion_hub.EmotionPredictor.from_pretrained(sys.argv[1], backend="onnx")
predictor.predict(sys.argv[2], whole=True)
print(time.perf_counter() - started, "torch" in sys.modules)
"""

EMPTY = """
import gradio as gr
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Markdown("empty")
    gr.Button(visible=False).click(lambda: 1, None, gr.Number(visible=False), api_name="ping")
demo.launch(ssr_mode=False, share=False, quiet=True)
"""

#: The client waits for the first prediction, not for the first page, so that lazy loading is included.
ASK = """
import sys, time
from gradio_client import Client, handle_file
for _ in range(3000):
    try:
        client = Client(sys.argv[1], verbose=False)
        break
    except Exception:
        time.sleep(0.02)
else:
    sys.exit(1)
print("ready", flush=True)
if sys.argv[2] == "ping":
    client.predict(api_name="/ping")
else:
    client.predict(handle_file(sys.argv[2]), sys.argv[3], True, api_name="/predict")
print("answered", flush=True)
"""


def first_prediction(name: str, rounds: int = 5) -> dict[str, Any]:
    """Seconds from `import emotion_hub` to the first ONNX prediction, and of the process; whether torch was loaded.

    Medians; the first round is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "face.png"
        picture.write_bytes(png(drawn_face()))
        to_prediction, whole, torch = [], [], set()
        for _ in range(rounds + 1):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PREDICT, name, str(picture)],
                capture_output=True,
                text=True,
                check=True,
                cwd=ROOT,
            )
            whole.append(time.perf_counter() - started)
            seconds, loaded = done.stdout.split()
            to_prediction.append(float(seconds))
            torch.add(loaded == "True")
    return {
        "import_to_answer": statistics.median(to_prediction[1:]),
        "process": statistics.median(whole[1:]),
        "torch_loaded": True in torch,
    }


def app_start(name: str, rounds: int = 3) -> dict[str, Any]:
    """Seconds from `python app.py` to its first prediction, those of an empty Gradio app, and their ratio.

    The two alternate.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture, empty = Path(folder) / "face.png", Path(folder) / "empty.py"
        picture.write_bytes(png(drawn_face()))
        empty.write_text(EMPTY)
        times: dict[str, list[float]] = {"empty": [], "app": []}
        for turn in range(rounds + 1):  # the first round fills the disk cache and is not counted
            for app, command, request in (
                ("empty", [str(empty)], ["ping"]),
                ("app", [str(ROOT / "app.py")], [str(picture), name]),
            ):
                seconds = _until_answered(command, request)
                if turn:
                    times[app].append(seconds)
    medians = {app: statistics.median(values) for app, values in times.items()}
    return {**medians, "ratio": medians["app"] / medians["empty"]}


def _until_answered(command: list[str], request: list[str]) -> float:
    """Seconds from the start of the server to the client's response; the client is already imported and waiting."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    client = subprocess.Popen(
        [sys.executable, "-c", ASK, address, *request], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    time.sleep(4)  # time for its imports
    started = time.perf_counter()
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
    }
    server = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert client.stdout is not None  # it is a pipe
        output = [client.stdout.readline().strip() for _ in range(2)]
        seconds = time.perf_counter() - started
        if output != ["ready", "answered"]:
            raise RuntimeError(f"{command[0]} did not answer: the client printed {output}; run it to see why")
        return seconds
    finally:
        for process in (server, client):
            process.terminate()
            process.wait()
