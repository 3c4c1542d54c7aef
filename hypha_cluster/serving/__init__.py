"""How a node is put on the network."""
