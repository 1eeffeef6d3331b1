"""The plan: all that long-running processes need to know of a Feast registry."""
