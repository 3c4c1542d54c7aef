"""The ways in: WebSockets, HTTP calls, health, pages."""
