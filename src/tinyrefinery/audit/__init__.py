"""Checks of a dataset: leaks, duplicates, likely label errors, and shortcuts."""
