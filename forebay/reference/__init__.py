"""docs/reference.md: commands, variables, metrics and exit statuses, written down from the code that has them."""
