"""Defines what crosses a process boundary: the plan, keys and values, rows, progress, records, predictions."""
