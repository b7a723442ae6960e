"""`tollway doctor`: one file a thing that is looked at; each answers findings and changes nothing."""
