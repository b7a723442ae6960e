"""HTTP/1.1 for clients: a listening socket, its connections, and what ASGI applications need of them."""
