"""Assess networks as refiners, and the labels that they give."""
