"""Assessing networks as refiners, and the quality of their labels."""
