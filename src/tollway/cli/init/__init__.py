"""`tollway init`: finds what can be used, asks where it may, and writes a configuration that loads as it stands."""
