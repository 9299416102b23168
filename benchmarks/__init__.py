"""Benchmarks: scripts that measure the figures of this repository."""
