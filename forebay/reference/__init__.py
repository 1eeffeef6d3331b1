"""Makes pages of the documentation from the code: the reference, the architecture, the list of decisions."""
