"""The ways in: WebSocket and HTTP."""
