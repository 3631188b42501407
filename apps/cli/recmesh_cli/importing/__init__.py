"""Rows to the catalog: a piece at a time, with what became of each."""
