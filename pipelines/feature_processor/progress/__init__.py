"""Progress and publications: how far views have come, and which definitions are published."""
