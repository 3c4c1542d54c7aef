"""Logging in: for programs that wait for a token, and for people with a browser."""
