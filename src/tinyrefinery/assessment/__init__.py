"""Finished networks as refiners: how good they, and the labels that they give, are."""
