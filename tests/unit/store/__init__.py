"""Tests of what the hub keeps in Redis, without Redis."""
