"""Tests of how frames travel."""
