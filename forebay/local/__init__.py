"""Runs Forebay on one machine, with embedded servers as supervised child processes."""
