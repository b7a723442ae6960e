"""What the operator sees: logs and metrics, which implement domain.Observer and are injected; a listener for them."""
