"""Generations of clients: what each speaks, behind one door."""
