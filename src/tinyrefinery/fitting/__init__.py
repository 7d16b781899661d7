"""From pictures and a budget to the best small network that fits: the command `fit`."""
