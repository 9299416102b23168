"""Studies: each script stands beside the files it wrote."""
