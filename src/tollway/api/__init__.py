"""Thin handlers: they read a request, ask the pipeline, the ledger or the catalog, and write the answer."""
