"""What every Recmesh server needs: bootstrap, errors, health, settings, logging, database, broker."""
