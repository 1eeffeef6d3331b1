"""Commands on models: list versions, check one, choose which one scores."""
