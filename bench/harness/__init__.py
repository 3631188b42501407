"""What benchmarks of whole systems share: processes, load, rounds by turns, statistics, tables and results."""
