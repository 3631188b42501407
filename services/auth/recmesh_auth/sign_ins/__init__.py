"""Signing in: passwords, tokens, and the keys that sign them."""
