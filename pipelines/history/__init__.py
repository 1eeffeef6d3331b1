"""Runs the same steps over past events, correct as of any time."""
