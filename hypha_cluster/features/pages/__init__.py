"""Pages of the hub's own: the hub, its workspaces, and a playground."""
