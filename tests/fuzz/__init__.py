"""Fuzzing: what reads the bytes of strangers gets millions of them, guided by coverage."""
