"""Confidence intervals, exact tests, paired gains and rank correlation."""
