"""The learning-rate sweep (report, section 1.14), by an engine."""
