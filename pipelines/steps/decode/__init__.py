"""Decode: payload bytes to typed events, in the format that the source declares."""
