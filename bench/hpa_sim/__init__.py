"""`make hpa-sim`: the worker's autoscaler over load curves, with the numbers that are shipped."""
