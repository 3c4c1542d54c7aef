"""What can be switched on: each feature brings settings, routes, services of the hub, and a job."""
