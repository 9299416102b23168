"""What the measured figures of this repository come from."""
