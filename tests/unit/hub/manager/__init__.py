"""Tests of the manager's functions."""
