"""Names of the files that a training writes into its folder."""

STATE = "state.pt"
"""From which an interrupted training resumes."""
METRICS = "metrics.jsonl"
"""One JSON object per epoch."""
METRICS_TABLE = "metrics.csv"
"""The same as a table."""
