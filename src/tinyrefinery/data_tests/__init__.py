"""Data unit tests: named slices of a dataset, each with a metric and a bound, with intervals."""
