"""Rollout: a newer plan is scored with once its features are there."""
