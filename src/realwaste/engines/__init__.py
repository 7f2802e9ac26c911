"""What does the heavy work: this process, or a Ray cluster, as `base.engine` says. One module a kind of work."""
