"""The CNN's training over several workers, by an engine."""
