"""Data sources: one file per kind."""
