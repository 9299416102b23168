"""Entry of the Space and of `python app.py`: build the demo and serve it."""

import threading

from emotion_hub.checkpoints import embedded_checkpoints
from emotion_hub.predictor import embedded_predictor
from emotion_hub.ui import build_demo, launch_options


def warm_up() -> None:
    """Load every embedded network, so that the first visitor does not wait for it."""
    for name in embedded_checkpoints():
        embedded_predictor(name)


demo = build_demo()

if __name__ == "__main__":
    threading.Thread(target=warm_up, daemon=True).start()
    demo.launch(**launch_options())
