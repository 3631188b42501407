"""The way of every call through a server: one chain for all methods of all services."""
