"""Upkeep: what is done for rows beside batches."""
