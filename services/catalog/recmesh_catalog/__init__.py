"""Catalogs, items and interactions."""
