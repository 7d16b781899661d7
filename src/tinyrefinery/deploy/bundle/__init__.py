"""Folders for whoever builds the device: an artifact, code that runs it, and a check."""
