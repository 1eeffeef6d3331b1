"""Reads lag and metrics of running processes."""
