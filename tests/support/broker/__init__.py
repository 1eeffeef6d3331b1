"""A Kafka in memory for tests of logic: topics, groups that rebalance, transactions, and readers of what is committed.

`FakeBroker` makes clients with the methods of confluent-kafka's that Forebay's worker calls.
`tests/kafka/test_contract.py` holds it and Apache Kafka to the same promises; what is not tested there is not promised.
"""
