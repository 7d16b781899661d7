"""int8 networks in whole numbers: read from LiteRT files, planned, and computed without a runtime."""
