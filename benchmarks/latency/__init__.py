"""From event to prediction, by delivery guarantee."""
