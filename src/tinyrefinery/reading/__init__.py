"""Files are checked here before they are used: JSON, digests, limits."""
