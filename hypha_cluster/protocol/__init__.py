"""What travels on the wire; pure functions, no I/O, no clock."""
