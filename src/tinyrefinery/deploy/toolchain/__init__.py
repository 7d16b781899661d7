"""Compilers and emulators of other processors."""
