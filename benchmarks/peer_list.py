"""The compared packages: workers, environments, weights, use of PrivateTest."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["OURS", "PEERS", "Peer"]

OURS = "emotion_hub"

_READ_ONCE = (
    "not used for training; epochs and averages were chosen on PublicTest; each candidate was measured once on "
    "it, and one "
    "candidate for native48 that fell short was trained further"
)
_CHOSEN = (
    "used to choose the weights: the training script keeps the best on the last fifth of the csv file, PublicTest and "
    "PrivateTest together"
)


@dataclass(frozen=True)
class Peer:
    """A compared package.

    `worker` is a script in `peer_workers`, `pins` the packages of its environment (None: this interpreter),
    `weights` {file name in --baselines: name that the worker expects}, and `private_test` the part of PrivateTest
    in its training.
    """

    worker: str
    pins: str | None = None
    weights: dict[str, str] = field(default_factory=dict)
    private_test: str = "unknown"


_KERAS, _TFJS = "oarriaga_fer2013_mini_XCEPTION.102-0.66.hdf5", "face_expression_model-"
PEERS: dict[str, Peer] = {
    OURS: Peer("ours.py", private_test=_READ_ONCE),
    # its emotion_model.hdf5 is mini-Xception's file, byte for byte
    "fer": Peer("fer_package.py", "fer.txt", private_test="as for mini-Xception, whose weights it has"),
    # github.com/oarriaga/face_classification: src/train_emotion_classifier.py, split_data; README: "test accuracy: 66%"
    "mini-xception": Peer(
        "mini_xception.py",
        "mini_xception.txt",
        {_KERAS: _KERAS},
        f"{_CHOSEN} (its README calls the 66% reached there test accuracy)",
    ),
    # README of github.com/justadudewhohacks/face-api.js
    "face-api": Peer(
        "face_api.js",
        "face_api.json",
        {f"faceapi_{_TFJS}{part}": f"{_TFJS}{part}" for part in ("shard1", "weights_manifest.json")},
        'unknown: trained on "publicly available datasets as well as images scraped from the web"',
    ),
}
