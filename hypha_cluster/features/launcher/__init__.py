"""Server apps: programs that are installed in a workspace and run in a browser on the server."""
