"""How: one attempt after another at the providers of a plan. What a provider's API looks like is told in dialects/."""
