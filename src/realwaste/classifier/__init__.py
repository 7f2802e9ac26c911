"""A trained classifier: which there are, its file, its answers, and its temperature."""
