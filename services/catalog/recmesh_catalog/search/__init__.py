"""Search by title."""
