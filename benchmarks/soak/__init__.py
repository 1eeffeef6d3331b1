"""Half an hour of steady load: whether time and memory stay flat."""
