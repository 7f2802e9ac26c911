"""The report's own procedure against the pipeline's, and what the pipeline costs as data grow: `make bench`."""
