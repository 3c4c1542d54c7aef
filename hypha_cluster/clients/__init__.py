"""A client's life on this node."""
