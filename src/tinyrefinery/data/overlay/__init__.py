"""Review decisions about images, applied to a data set when it is opened."""
