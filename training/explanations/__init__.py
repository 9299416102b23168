"""Explanation study: metrics over a probe set, and its report."""
