"""Files that rows are read from, and what the rows of known data sets mean."""
