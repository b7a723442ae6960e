"""How much: bounds before a call, tokens and money after it. Pure; integers only."""
