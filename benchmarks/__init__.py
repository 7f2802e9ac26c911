"""Measurements, a command each: `python -m benchmarks` (make bench), benchmarks.claims (make results), scale,
report_claims, shooting_order and whole, which say what they need by --help. `parts/` is what they are made of."""

import realwaste  # noqa: F401 - pins the settings of Keras, which modules here import first
