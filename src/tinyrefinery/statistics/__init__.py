"""Intervals, exact tests, paired gains and rank correlation."""
