"""Where a call may go: the catalog of models, providers' health, and the plan. Knows nothing of money held or sent."""
