"""FastAPI, SQLModel and pika: the home-made service as many write it, whose worker takes one message at a time."""
