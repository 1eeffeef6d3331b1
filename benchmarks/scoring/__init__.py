"""The scoring worker: how fast it works off a topic, and how long an event waits for its prediction."""
