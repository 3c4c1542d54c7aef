"""The names by which programs know Hypha 0.15, on top of hypha_cluster."""
