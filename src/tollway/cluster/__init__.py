"""What replicas share in Valkey (or Redis): counts of limits, and hints about providers' health. Never money."""
