"""One file a pair of APIs, `<client>_<backend>.py`: the list of files is the list of what is supported."""
