"""The workspace manager: the hub's own service in each workspace."""
