"""How much: what tokens cost where, bounds before a call, tokens and money after it. Integers only.

Pure but for price_files.py, which reads the price book when a router is built.
"""
