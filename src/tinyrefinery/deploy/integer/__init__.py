"""int8 networks in whole numbers: read from LiteRT files, planned, computed without a runtime."""
