"""Commands on history: backfill, training rows, replay."""
