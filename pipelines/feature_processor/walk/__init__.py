"""The walk of a batch: decode, validate, re-key, transform, fold, write, progress."""
