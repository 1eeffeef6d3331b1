"""Features: read, evaluated as of a request's time, and completed by policies and functions."""
