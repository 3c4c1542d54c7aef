"""How frames travel between clients and between nodes."""
