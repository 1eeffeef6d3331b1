"""The steps of the walk. Pure: no I/O, no clock, no environment."""
