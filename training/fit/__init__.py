"""Training: recipes, the trainer, runs and their folders."""
