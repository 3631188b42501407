"""Catalogs: the wall between tenants."""
