"""No telemetry: no files in the home folder, no external connections."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.fakes.api_server import photo

#: Allowed addresses: this machine and its name server, whose queries are checked one by one. Ray connects a datagram
#: socket to learn its own address, without sending anything, and queries the link-local metadata address of clouds.
LOCAL = re.compile(
    r"AF_UNIX|AF_NETLINK|AF_UNSPEC|htons\(53\)|htons\(0\)|169\.254\.169\.254"
    r"|127\.\d+\.\d+\.\d+|\"::1\"|\"::ffff:127\."
)

#: Host names that may be looked up; Ray looks up the last one.
NAMES = {socket.gethostname(), "localhost", "metadata.google.internal"}

PREDICT = """
    from emotion_hub import EmotionPredictor
    predictor = EmotionPredictor.from_pretrained("emotion_cnn", backend="onnx")
    assert predictor.predict("photo.png", whole=True)[0].confidence > 0
"""

DEMO = """
    import httpx
    from emotion_hub.ui import build_demo, launch_options
    from emotion_hub.ui.uploads import upload_folder

    with upload_folder():
        demo = build_demo()
        _, address, _ = demo.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
        with httpx.Client(base_url=address, timeout=60) as client:  # not gradio_client, which sends requests to the Hub
            assert client.get("/").status_code == 200
            path = client.post("/gradio_api/upload", files={"files": open("photo.png", "rb")}).json()[0]
            data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, "emotion_cnn", True]
            event = client.post("/gradio_api/call/predict", json={"data": data}).json()["event_id"]
            stream = client.get(f"/gradio_api/call/predict/{event}").text
            assert "event: complete" in stream and "confidence" in stream, stream
        demo.close()
"""

SERVER = """
    import sys, threading
    from tests.fakes.api_server import running
    from emotion_hub.serve import ServeConfig, create_app

    with running(create_app(config=ServeConfig(models=("emotion_cnn",)))) as client:
        photo, headers = open("photo.png", "rb").read(), {"content-type": "image/png"}
        assert client.post("/predict?whole=true", content=photo, headers=headers).status_code == 200
"""


BATCH = """
    from emotion_hub.batch import predict_many
    predict_many(".", "out.parquet", models=["emotion_cnn"], backend="onnx", whole=True, engine=ENGINE, workers=1)
"""

DATASETS = """
    import numpy as np, datasets
    from PIL import Image
    from training.data.faces import load_split

    images = [Image.fromarray(np.full((48, 48), 10 * n, np.uint8)) for n in range(3)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"image": images, "label": ["happy", "sad", "fear"]}, features=features)
    rows.to_parquet("data/train-00000-of-00001.parquet")
    assert len(load_split("data", "train")) == 3
"""


#: ONNX Runtime sends no telemetry when one of these variables is set, so that the tests would prove nothing.
BUILD_SERVERS = (
    *(
        "APPVEYOR",
        "BITBUCKET_BUILD_NUMBER",
        "BUILDKITE",
        "CI",
        "CIRCLECI",
        "CODEBUILD_BUILD_ID",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "JENKINS_URL",
    ),
    *("TEAMCITY_VERSION", "TF_BUILD", "TRAVIS"),
)


def _traced(program: str, folder: Path, **values: str) -> tuple[list[str], list[Path]]:
    """(connections of a program to other machines, as strace shows them; files that it left in an empty home)."""
    home, log = folder / "home", folder / "strace.log"
    home.mkdir()
    (folder / "photo.png").write_bytes(photo())
    removed = ("HF_", "XDG_", "GRADIO_", "RAY_", "ORT_", "EMOTION_HUB_", "TRANSFORMERS_")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(removed) and name not in BUILD_SERVERS
    }
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(folder)])}
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    command = [sys.executable, "-c", head + textwrap.dedent(program)]
    if shutil.which("strace"):
        command = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-e",
            "trace=connect,sendto,sendmsg,sendmmsg",
            "-s",
            "512",
            "-o",
            str(log),
            *command,
        ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = log.read_text(errors="replace").splitlines() if log.is_file() else []
    own = {f'"{address}"' for address in _own_addresses()}
    names = {name for line in calls for name in _names(line)} - NAMES
    sent = sorted(names) + [
        line
        for line in calls
        if "sa_family=AF_INET" in line and not LOCAL.search(line) and not any(address in line for address in own)
    ]
    return sent, [path.relative_to(home) for path in sorted(home.rglob("*")) if path.is_file()]


def _names(line: str) -> set[str]:
    """The host names in the DNS queries of a line of strace."""
    names = set()
    for text in re.findall(r'"((?:[^"\\]|\\.)*)"', line) if "sendmmsg" in line or "sendto" in line else ():
        packet = codecs.decode(text, "unicode_escape").encode("latin-1", "replace")
        if packet[2:12] not in (
            b"\1\0\0\1\0\0\0\0\0\0",
            b"\1\x20\0\1\0\0\0\0\0\0",
            b"\1\0\0\1\0\0\0\0\0\1",
        ):  # one question
            continue
        labels, position = [], 12
        while position < len(packet) and (length := packet[position]):
            labels.append(packet[position + 1 : position + 1 + length].decode("latin-1"))
            position += 1 + length
        names.add(".".join(labels))
    return names


def test_dns_queries_are_recognised_in_the_trace() -> None:
    line = (
        r'sendmmsg(8, [{msg_hdr={msg_iov=[{iov_base="C^\1\0\0\1\0\0\0\0\0\0\vhuggingface\2co\0\0\1\0\1", iov_len=32}]'
    )
    assert _names(line) == {"huggingface.co"}


def _own_addresses() -> set[str]:
    """The addresses of this machine in the notations of strace; processes of Ray communicate through them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a datagram socket: nothing is sent
        except OSError:  # no network at all
            return set()
        address = probe.getsockname()[0]
    return {address, f"::ffff:{address}"}


@pytest.fixture
def traced():
    return _traced


needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed: apt-get install strace")


def test_a_prediction_leaves_no_file_in_the_home_folder(traced, tmp_path) -> None:
    assert traced(PREDICT, tmp_path)[1] == []


@needs_strace
def test_a_prediction_opens_no_connection(traced, tmp_path) -> None:
    assert traced(PREDICT + "    import time; time.sleep(2)\n", tmp_path)[0] == []


def test_onnx_runtime_writes_a_device_id_when_the_user_enables_telemetry(traced, tmp_path) -> None:
    program = 'import os\nos.environ["ORT_DISABLE_TELEMETRY"] = "0"\n' + textwrap.dedent(PREDICT)
    program += 'assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"\n'
    _, files = traced(program, tmp_path)
    assert any(path.name == "deviceid" for path in files), (
        "ONNX Runtime identifies users in another way now: see emotion_hub/onnx/runtime.py"
    )


def test_only_one_module_imports_onnx_runtime() -> None:
    root = Path(__file__).parents[1]
    pattern = re.compile(r"^\s*(import onnxruntime|from onnxruntime)(?!\.quantization)", re.MULTILINE)
    files = [path for folder in ("emotion_hub", "training", "benchmarks") for path in (root / folder).rglob("*.py")]
    importing = {str(path.relative_to(root)) for path in files if pattern.search(path.read_text())}
    importing.remove("training/publishing/card_usage.py")  # text of a model card
    # the worker runs without emotion_hub; its caller disables the telemetry
    assert importing == {"emotion_hub/onnx/runtime.py", "benchmarks/peer_workers/mini_xception.py"}


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize(
    ("program", "values"),
    [
        pytest.param(DEMO, {}, id="demo"),
        pytest.param(SERVER, {}, id="server"),
        pytest.param(BATCH, {"ENGINE": "local"}, id="batch"),
        pytest.param(BATCH, {"ENGINE": "ray"}, id="ray"),
        pytest.param(DATASETS, {}, id="datasets"),
    ],
)
def test_nothing_is_sent_beyond_this_machine(program: str, values: dict[str, str], traced, tmp_path) -> None:
    sent, files = traced(program, tmp_path, **values)
    assert sent == []
    assert not [
        path for path in files if re.search(r"telemetry|deviceid|onnxruntime|usage|analytics", str(path), re.IGNORECASE)
    ]
