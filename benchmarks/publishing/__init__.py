"""What it costs to write what Feast reads: with every batch, at most every so often, or never."""
