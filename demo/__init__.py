"""The film catalog, and a tour of what the mesh does with it."""
