"""Throughput of eight windowed aggregations, beside other engines."""
