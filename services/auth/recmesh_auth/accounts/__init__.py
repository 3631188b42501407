"""Accounts, and what they are granted."""
