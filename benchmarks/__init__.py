"""Measurements, one command each: `python -m benchmarks` (make bench), benchmarks.claims (make results), scale,
report_claims, capture_order and whole; --help lists their requirements. `parts/` has the code that they share."""

import realwaste  # noqa: F401 - pins the settings of Keras, which modules here import first
