"""The images as a data set: the manifest, labels, near-duplicates, leakage and the split."""
