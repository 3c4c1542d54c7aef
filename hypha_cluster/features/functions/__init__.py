"""Startup functions: programs of the operator's that the hub runs, once for all gateways."""
