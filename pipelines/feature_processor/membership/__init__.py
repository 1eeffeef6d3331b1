"""Membership of the consumer group: Faust, and the client under it."""
