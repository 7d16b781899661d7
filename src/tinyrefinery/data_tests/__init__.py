"""Data unit tests: named slices of a data set, a metric and a bound each, judged with intervals."""
