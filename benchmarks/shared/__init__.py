"""What several benchmarks use: events, systems, measures, and where results go."""
