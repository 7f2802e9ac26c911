"""The servers: the page and JSON API of `realwaste serve`, and the page of `realwaste review`."""
