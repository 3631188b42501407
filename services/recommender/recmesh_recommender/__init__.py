"""Admits recommendation jobs and answers for them."""
