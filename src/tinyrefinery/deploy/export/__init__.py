"""Export a network to a file that a device runs, and prove that it predicts the same."""
