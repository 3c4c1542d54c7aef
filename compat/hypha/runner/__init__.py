"""Runs a plugin file as a client of a hub."""
