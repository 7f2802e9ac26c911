"""Errors, logging, files and facts about this machine; nothing here imports TensorFlow."""
