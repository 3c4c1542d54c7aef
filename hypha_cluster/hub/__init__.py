"""The hub as a peer: it calls clients, answers them, and offers services of its own."""
