"""Data sets: reading, duplicates, audits, splits, batches."""
