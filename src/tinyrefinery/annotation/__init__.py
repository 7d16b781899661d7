"""People's part of the cycle: what to look at, looking at it, and labels made without looking."""
