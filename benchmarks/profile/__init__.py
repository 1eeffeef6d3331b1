"""Where the feature processor spends its time."""
