"""Measures gateways from outside: what a request and a streamed event cost in CPU, time and memory. It starts and loads
processes, and must not know how any of them works."""
