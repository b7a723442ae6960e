"""The embedded store: one process, one SQLite file. What may be booked is the book's business, see ledger/book.py."""
