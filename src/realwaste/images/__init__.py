"""Reading image files: the one image reader, file formats, augmented views, arrays in several files."""
