"""Labeling new images with a network, within an error bound that people check."""
