"""Data tests against trained networks: opens what they need, predicts what is missing, judges."""
