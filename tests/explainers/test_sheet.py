"""Several methods and networks for one face: methods_for and explain_all."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_hub.errors import InputError
from emotion_hub.explainers import explain, list_methods
from emotion_hub.explainers.sheet import explain_all, methods_for
from emotion_hub.predictor import embedded_predictor


def test_methods_for_keeps_the_order_and_lists_the_valid_names() -> None:
    predictor = embedded_predictor("native48")
    assert methods_for(["shap", "gradcam", "shap"], predictor) == ["shap", "gradcam"]
    assert methods_for(["all"], predictor) == ["gradcam", "gradcam++", "lime", "shap"] == list_methods(predictor)
    with pytest.raises(
        InputError, match=r"no method 'cam'; choose from gradcam, gradcam\+\+, lime, shap, rollout, all"
    ):
        methods_for(["cam"], predictor)


@pytest.mark.slow
def test_explain_all_equals_explain_per_method(face_file: str) -> None:
    shares: list[float] = []
    explanations = explain_all(face_file, ["gradcam", "lime"], samples=100, progress=shares.append)
    assert shares == sorted(shares)
    assert (shares[-1], len(shares) > 4) == (1.0, True)
    assert [(e.model, e.method) for e in explanations] == [
        (m, k) for m in ("native48", "upscale224") for k in ("gradcam", "lime")
    ]
    np.testing.assert_array_equal(explanations[1].heatmap, explain(face_file, "lime", samples=100).heatmap)
    with pytest.raises(InputError, match="models is empty"):
        explain_all(face_file, models=[])
