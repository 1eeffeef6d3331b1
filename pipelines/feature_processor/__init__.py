"""The feature processor: Kafka records in, entity rows in Redis out, by a Faust app."""
