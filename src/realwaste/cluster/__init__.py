"""A Ray cluster: connecting to it, waiting for it, and what its workers must find. Work on it is in the rooms above."""
