"""Definitions: compiled, shown, watched, and the topics that they need."""
