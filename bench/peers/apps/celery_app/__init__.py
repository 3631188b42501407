"""FastAPI and Celery: the result comes back through the `rpc://` backend, and is a row before."""
