"""What the caller is sent, and when an answer may end. Knows nothing of what a call costs or how it was tried."""
