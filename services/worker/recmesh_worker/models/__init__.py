"""Models behind one protocol, one file a model."""
