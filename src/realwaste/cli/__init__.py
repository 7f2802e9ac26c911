"""The commands of `realwaste` as a shell has them: a verb a file, its options and its help."""
