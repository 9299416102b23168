"""Many pictures to one file: folders, archives, manifests, data sets and videos to CSV, JSON lines or parquet, resumable, on one machine or a cluster.

from emotion_hub.batch import predict_many
predict_many("photos/", "result.csv", models=["native48"])
"""

from __future__ import annotations

from emotion_hub.batch.pictures import IMAGE_SUFFIXES, Picture, Source
from emotion_hub.batch.run import ENGINES, BatchSummary, predict_many
from emotion_hub.batch.sources import open_source

__all__ = ["ENGINES", "IMAGE_SUFFIXES", "BatchSummary", "Picture", "Source", "open_source", "predict_many"]
