"""Models: loaded from disk, checked, and fed."""
