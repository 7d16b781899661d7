"""Object detection (SSD, arXiv 1512.02325)."""
