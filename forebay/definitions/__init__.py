"""Compiles, shows and watches definitions, and finds the topics that they need."""
