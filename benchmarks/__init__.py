"""Measurements, a command each: `python -m benchmarks` (make bench), and benchmarks.claims (make results), leakage,
remedies, scale and data_parallel, which say what they need by --help. `parts/` is what they are made of."""
