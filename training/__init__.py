"""Scripts and recipes that make the checkpoints. Imports emotion_hub; nothing there imports this."""
