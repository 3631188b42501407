"""Benchmarks: each is a command that ends with one JSON object on a line of its own."""
