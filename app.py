"""Entry of the Space and of `python app.py`: build the demo and serve it."""

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

#: Seconds after the start in which nothing but predictions is loaded.
QUIET = 10.0


def warm_up() -> None:
    """Load every embedded network and the explainers' packages and run them once, so that the first visitor does not wait for it.

    What predicts comes first. Explanations need torch, whose import would hold up a first photo that is there already: it waits a little.
    """
    face = Image.new("L", (48, 48))
    for name in embedded_checkpoints():
        shared_pool().serve(name).model.predictor.predict_faces([face])
    time.sleep(QUIET)
    for method in METHODS.values():
        with contextlib.suppress(
            MissingDependencyError
        ):  # the Explain tab names the missing extra when the method is chosen
            method.load()
    with contextlib.suppress(MissingDependencyError):
        for name in embedded_checkpoints():
            explain_face(face, embedded_predictor(name), "gradcam", metrics="none")


def main() -> None:
    """Serve until stopped; a stop by the system ends as a stop by hand does, with the uploads deleted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with upload_folder():
        demo = build_demo()
        threading.Thread(target=warm_up, daemon=True).start()
        demo.launch(**launch_options())


if __name__ == "__main__":
    main()
