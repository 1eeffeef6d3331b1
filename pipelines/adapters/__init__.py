"""The outside world: Kafka, Redis, metrics, clocks."""
