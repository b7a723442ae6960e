"""Paid: the books. What may be booked is decided in book.py alone; the stores keep, load and commit."""
