"""A runner: a process of its own that runs instances of apps in a browser."""
