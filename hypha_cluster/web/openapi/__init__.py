"""What can be asked for over HTTP, as OpenAPI 3.1: the hub's own addresses, and a workspace's."""
