"""What operators see: metrics, alerts, the board, logs and traces."""
