"""Data sets: images, their manifest and their crops."""
