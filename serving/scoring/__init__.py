"""Scoring: one path, whichever door a request came through."""
