"""Filters of lists, searches and queries: one grammar (AIP-160), one tree, compiled to SQL and to a mask.

`check.read` turns a text into conditions, `sql.where` turns those into SQL and `mask.select` into a mask of rows.
"""
