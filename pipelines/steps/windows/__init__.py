"""Windows: events folded into tiles, and tiles evaluated as of a time."""
