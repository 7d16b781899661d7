"""Folders for the people who build the device: an artifact, code that runs it, and a check."""
