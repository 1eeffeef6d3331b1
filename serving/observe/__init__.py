"""Metrics of scoring."""
