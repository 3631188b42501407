"""The transport: the only room that knows gRPC."""
