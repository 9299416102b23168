"""Cold starts in fresh processes: to the first ONNX prediction, and the app's first answer beside an empty Gradio app's."""

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
import time; begun = time.perf_counter()
import emotion_hub, sys
predictor = emotion_hub.EmotionPredictor.from_pretrained(sys.argv[1], backend="onnx")
predictor.predict(sys.argv[2], whole=True)
print(time.perf_counter() - begun, "torch" in sys.modules)
"""

EMPTY = """
import gradio as gr
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Markdown("empty")
    gr.Button(visible=False).click(lambda: 1, None, gr.Number(visible=False), api_name="ping")
demo.launch(ssr_mode=False, share=False, quiet=True)
"""

#: The first answer counts, not the first page: what is loaded lazily is in it.
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
    """Seconds from the start of `import emotion_hub` to the first ONNX prediction, and of the whole process; medians, and whether torch was loaded."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "face.png"
        picture.write_bytes(png(drawn_face()))
        inside, whole, torch = [], [], set()
        for _ in range(rounds + 1):
            begun = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PREDICT, name, str(picture)],
                capture_output=True,
                text=True,
                check=True,
                cwd=ROOT,
            )
            whole.append(time.perf_counter() - begun)
            seconds, loaded = done.stdout.split()
            inside.append(float(seconds))
            torch.add(loaded == "True")
    return {
        "import_to_answer": statistics.median(inside[1:]),
        "process": statistics.median(whole[1:]),
        "torch_loaded": True in torch,
    }


def app_start(name: str, rounds: int = 3) -> dict[str, Any]:
    """Seconds from starting `python app.py` to its first prediction, of an empty Gradio app to its first answer, alternating, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        picture, empty = Path(folder) / "face.png", Path(folder) / "empty.py"
        picture.write_bytes(png(drawn_face()))
        empty.write_text(EMPTY)
        times: dict[str, list[float]] = {"empty": [], "app": []}
        for turn in range(rounds + 1):  # the first round fills the disk's cache
            for which, command, what in (
                ("empty", [str(empty)], ["ping"]),
                ("app", [str(ROOT / "app.py")], [str(picture), name]),
            ):
                seconds = _until_answered(command, what)
                if turn:
                    times[which].append(seconds)
    medians = {which: statistics.median(values) for which, values in times.items()}
    return {**medians, "ratio": medians["app"] / medians["empty"]}


def _until_answered(command: list[str], what: list[str]) -> float:
    """From the server's start to the client's answer; the client is imported and waiting by then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    asking = subprocess.Popen(
        [sys.executable, "-c", ASK, address, *what], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    time.sleep(4)  # its imports
    begun = time.perf_counter()
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
        said = [asking.stdout.readline().strip() for _ in range(2)]
        seconds = time.perf_counter() - begun
        if said != ["ready", "answered"]:
            raise RuntimeError(f"{command[0]} gave no answer: the client said {said}; run it by hand and look")
        return seconds
    finally:
        for process in (server, asking):
            process.terminate()
            process.wait()
