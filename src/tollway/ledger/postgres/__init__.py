"""The store for many processes and machines: PostgreSQL. What may be booked is the book's business, see ledger/book.py.

Stands on the extra `postgres` (psycopg 3): imported only where the configuration names it."""
