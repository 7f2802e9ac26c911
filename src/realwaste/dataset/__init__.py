"""The images as a data set: manifest, labels and their corrections, near-duplicates, leakage, the split."""
