"""Backfill: the same steps over history, point-in-time correct.

History is one Parquet file per topic, `<folder>/<topic>.parquet`, with the columns of the topic's
events. A view's features as of each event go to the view's batch source, where Feast finds them.
"""
