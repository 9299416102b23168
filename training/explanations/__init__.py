"""The explanation study: metrics over a probe set, and its report page."""
