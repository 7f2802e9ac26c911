"""Measurements, one command each: `python -m benchmarks` (make bench), benchmarks.claims (make results), scale,
report_claims, fine_tuning, realwaste and whole; --help lists their requirements. `parts/` has their shared code."""

# Pins the settings of Keras, which modules here import first; benchmarks.realwaste is the module of this package.
import realwaste as _package  # noqa: F401
