"""From a batch of crops to its target distributions."""
