"""What the papers' figures need, and nothing else does."""
