"""The read model held against the catalog, and repaired where the two differ."""
