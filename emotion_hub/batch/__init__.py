"""Batch prediction of many pictures into one result file.

The source is a folder, archive, manifest, data set or video; the result is CSV, JSON lines or parquet. An interrupted
run can be continued. It runs on one machine or on a Ray cluster.

    from emotion_hub.batch import predict_many
    predict_many("photos/", "result.csv", models=["native48"])
"""

from __future__ import annotations

from emotion_hub.batch.pictures import Picture, Source
from emotion_hub.batch.run import ENGINES, BatchSummary, predict_many
from emotion_hub.batch.sources import open_source
from emotion_hub.images import IMAGE_SUFFIXES

__all__ = ["ENGINES", "IMAGE_SUFFIXES", "BatchSummary", "Picture", "Source", "open_source", "predict_many"]
