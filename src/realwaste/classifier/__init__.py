"""A trained classifier: its file, its answers, and what makes its probabilities mean what they say."""
