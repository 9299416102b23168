"""Studies: scripts beside the results that they wrote."""
