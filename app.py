"""Entry of the Space and of `python app.py`: build the demo and serve it."""

import signal
import sys
import threading

from PIL import Image

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.explainers import METHODS, explain_face
from emotion_hub.predictor import embedded_predictor
from emotion_hub.ui import build_demo, launch_options
from emotion_hub.ui.uploads import upload_folder


def warm_up() -> None:
    """Load every embedded network and the explainers' packages and run them once, so that the first visitor does not wait for it."""
    face = Image.new("L", (48, 48))
    for name in embedded_checkpoints():
        embedded_predictor(name).predict_faces([face])
    for name in embedded_checkpoints():
        explain_face(face, embedded_predictor(name), "gradcam", scoring="none")
    for method in METHODS.values():
        method.load()


def main() -> None:
    """Serve until stopped; a stop by the system ends as a stop by hand does, with the uploads deleted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with upload_folder():
        demo = build_demo()
        threading.Thread(target=warm_up, daemon=True).start()
        demo.launch(**launch_options())


if __name__ == "__main__":
    main()
