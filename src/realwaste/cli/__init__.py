"""The commands of `realwaste`: one file per verb, and the files that only that verb needs."""
