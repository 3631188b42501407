"""Between the contract's messages and the plain classes of `data`: one module for each of those."""
