"""The engine: what a batch of queries and a catalog in memory make of each other."""
