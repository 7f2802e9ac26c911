"""A head on a backbone's vectors, and the backbone's end that may learn too (report, section 2)."""
