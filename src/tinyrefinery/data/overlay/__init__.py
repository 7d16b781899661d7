"""Review decisions about images, applied to a dataset when it is opened."""
