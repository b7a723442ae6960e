"""What goes over the wire: the one JSON module, the SSE codec, and how chains write ids, keys and signatures."""
