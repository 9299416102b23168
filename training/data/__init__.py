"""Data sets: reading, duplicates, audits, splits, augmentation."""
