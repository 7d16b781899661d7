"""Reports of data tests, for people and machines."""
