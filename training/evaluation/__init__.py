"""Evaluation: predictions of a split, metrics, calibration, robustness, and the report as text."""
