"""Where a classifier looks, and where it errs."""
