"""Packed networks: binary layers on bits, lookup layers by entries. File, C runtime, and NumPy."""
