"""Training scripts and recipes of the checkpoints.

They import emotion_hub, which never imports them.
"""
