"""What the `hypha-cluster` command can do."""
