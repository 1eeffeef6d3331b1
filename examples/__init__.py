"""Worked examples; `flights` is the one the demo runs."""
