"""Defines what is in Kafka: topics, records and their headers, positions, predictions."""
