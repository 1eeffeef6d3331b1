"""Commands on the online store: forget an entity, rebuild a view."""
