"""Rollout: a newer plan takes over."""
