"""Interactions: what people did with items."""
