"""Many pictures to one file: folders, archives, manifests, data sets and videos to CSV, JSON lines or parquet, resumable, on one machine or a cluster.

from emotion_hub.scoring import score
score("photos/", "result.csv", models=["native48"])
"""

from __future__ import annotations

from emotion_hub.scoring.pictures import IMAGE_SUFFIXES, Picture, Source
from emotion_hub.scoring.run import ENGINES, ScoreSummary, score
from emotion_hub.scoring.sources import open_source

__all__ = ["ENGINES", "IMAGE_SUFFIXES", "Picture", "ScoreSummary", "Source", "open_source", "score"]
