"""Defines what is in Redis: keys, entity rows, values in Feast's layout, progress, publications, leases."""
