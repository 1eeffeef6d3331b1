"""The local stack: a Kafka-compatible broker and a store from their wheels, as supervised child processes."""
