"""FastAPI and Taskiq over aio-pika: the result is a row that its PostgreSQL backend writes, and asks for by turns."""
