"""Feature extraction: every image through a frozen backbone, once, and the vectors as files."""
