"""HTTP/1.1 and WebSockets on llhttp, in front of Hypercorn."""
