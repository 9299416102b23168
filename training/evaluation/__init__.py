"""Evaluation: predictions, metrics, calibration, robustness, reports."""
