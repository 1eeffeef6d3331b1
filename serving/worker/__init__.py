"""The Kafka door: events in, predictions out, exactly once."""
