"""The tables of README.md and docs/, made from the CSV files in docs/results/."""
