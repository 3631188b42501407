"""Breaks the mesh on purpose, under load, and audits what callers were told against what is stored."""
