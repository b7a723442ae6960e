"""Who calls: the Sign-In-With-X header in, a Caller out. Knows nothing of what is asked for or what it costs."""
