"""HTTP/1.1 to providers, on asyncio and httptools: domain.seams.Transport (transport.py), for either event loop."""
