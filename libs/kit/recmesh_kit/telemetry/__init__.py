"""What can be seen of a running process: metrics (Prometheus) and traces (OpenTelemetry)."""
