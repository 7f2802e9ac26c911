"""Feature extraction: every image through a frozen backbone, once, by an engine; and the vectors as files."""
