"""Errors, logging, files, settings and facts about this machine; nothing here imports TensorFlow."""
