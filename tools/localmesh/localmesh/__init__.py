"""Runs the whole mesh on one machine, without containers."""
