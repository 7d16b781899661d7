"""Metrics of one network."""
