"""The report's CNN, and augmentation, which is part of a network."""
