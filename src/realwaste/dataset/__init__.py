"""The images as a data set: the manifest, near-duplicates, leakage and the split."""
