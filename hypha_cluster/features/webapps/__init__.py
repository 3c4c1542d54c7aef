"""/{workspace}/apps/{id}/…: web applications that run in clients."""
