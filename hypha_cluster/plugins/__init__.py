"""Optional features, each with an extra."""
