"""Entry point of the Space and of `python app.py`: serve the demo."""

import contextlib
import signal
import sys
import threading
import time

from PIL import Image

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.errors import MissingDependencyError
from emotion_hub.explainers import METHODS, explain_face
from emotion_hub.predictor import embedded_predictor
from emotion_hub.ui import build_demo, launch_options
from emotion_hub.ui.models import shared_pool
from emotion_hub.ui.uploads import upload_folder

#: Seconds after the start before torch is imported, which would delay the first predictions.
QUIET = 10.0


def warm_up() -> None:
    """Load every embedded network and explanation method and run them once, before the first visitor needs them."""
    face = Image.new("L", (48, 48))
    for name in embedded_checkpoints():
        shared_pool().choose(name).model.predictor.predict_faces([face])
    time.sleep(QUIET)
    for method in METHODS.values():
        # where an extra is missing, the Explain tab names it when the method is chosen
        with contextlib.suppress(MissingDependencyError):
            method.load()
    with contextlib.suppress(MissingDependencyError):
        for name in embedded_checkpoints():
            explain_face(face, embedded_predictor(name), "gradcam", metrics="none")


def main() -> None:
    """Serve until stopped. SIGTERM ends the process like an interrupt, so that the uploads are deleted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with upload_folder():
        demo = build_demo()
        threading.Thread(target=warm_up, daemon=True).start()
        demo.launch(**launch_options())


if __name__ == "__main__":
    main()
