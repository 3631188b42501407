"""The worker: consumes jobs, ranks, writes results; indexes items; the only home of torch."""
