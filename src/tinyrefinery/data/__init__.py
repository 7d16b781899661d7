"""Datasets: images, their manifest and their crops."""
