"""The home-made alternatives, measured beside the mesh and the floor: see README.md."""
