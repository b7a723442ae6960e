"""What goes over the wire: the one JSON module, the SSE codec, OpenAI's shapes."""
