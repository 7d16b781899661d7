"""The label store: refined labels on disk."""
