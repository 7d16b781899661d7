"""Measure one network."""
