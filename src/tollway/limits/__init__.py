"""How often and how much at once: of a wallet, of a provider, of an address that has not said who it is."""
