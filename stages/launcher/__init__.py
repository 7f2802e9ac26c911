"""What `python -m stages` does around a stage: it can refuse a run, or go on with one, and never changes a result."""
