"""The commands of `realwaste`: a file per verb, further files of a verb with its name as prefix, and shared files."""
