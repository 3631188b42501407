"""The transactional outbox: changes are told exactly when they are committed."""
