"""Packed networks: binary layers on bits. Their file, their runtime in C, and the same in NumPy."""
