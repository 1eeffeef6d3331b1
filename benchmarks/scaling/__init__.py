"""Cost curves: by processes, by entities, by windows."""
