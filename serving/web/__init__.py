"""What all doors on HTTP do alike: read a body within its limits, and send an answer."""
