"""The training loop, heads on embeddings, fine-tuning, and the learning-rate sweep."""
