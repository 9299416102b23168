"""Augmentation of prepared faces: geometry, light, degradations."""
