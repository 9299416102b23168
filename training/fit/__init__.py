"""Training: recipes, the trainer, and the folder of a run."""
