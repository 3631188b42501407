"""FastAPI and FastStream: the answer comes back through a reply queue of the web process."""
