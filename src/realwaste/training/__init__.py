"""The training loop, its batches and checkpoints, and where decoded pictures wait."""
