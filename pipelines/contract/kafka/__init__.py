"""What stands in Kafka: topics, records and their headers, positions, predictions."""
