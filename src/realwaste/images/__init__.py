"""Images as files and as pixels, and rows of arrays in several files."""
