"""Detectors: which objects are in an image, and where (SSD, arXiv 1512.02325)."""
