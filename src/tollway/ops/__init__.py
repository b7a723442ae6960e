"""What the operator sees: logs now; they implement domain.Observer and are injected."""
