"""What an operator sees: metrics, logs and the HTTP endpoint that serves them."""
