"""Images as files, as pixels, as labels and as vectors."""
