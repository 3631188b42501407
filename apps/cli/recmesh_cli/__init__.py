"""The command line of Recmesh, a client of `recmesh_client`."""
