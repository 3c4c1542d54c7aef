"""The work that servers are measured with, each piece in a process of its own."""
