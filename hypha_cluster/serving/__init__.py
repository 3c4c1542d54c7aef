"""The process of a node: its sockets, workers, embedded store and logs."""
