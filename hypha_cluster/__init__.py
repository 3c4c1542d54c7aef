"""A clustered hub for imjoy-rpc clients."""

__version__ = "0.1.0"
