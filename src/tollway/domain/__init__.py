"""Values and protocols every other room speaks: no I/O, no dependencies beyond msgspec."""
