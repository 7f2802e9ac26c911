"""What `realwaste predict` and `realwaste export` do with a saved model."""
