"""The methods of a client, a module for each service of the contract."""
