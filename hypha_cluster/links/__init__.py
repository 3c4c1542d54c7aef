"""Our connections to Redis; nothing of the hub."""
