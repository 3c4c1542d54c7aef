"""Tests of the functions that the hub itself offers."""
