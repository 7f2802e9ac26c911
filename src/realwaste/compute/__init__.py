"""How TensorFlow computes here: its device, precision and repeatability, faster layers, and going on after a kill."""
