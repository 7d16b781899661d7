"""Selecting images for human review, and recording the decisions."""
