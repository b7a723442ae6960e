"""The caller's side: wallets, signing in, and a client for a router. Knows nothing of how a router decides."""
