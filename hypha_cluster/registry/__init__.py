"""What the hub keeps in Redis."""
