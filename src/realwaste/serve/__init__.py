"""A trained model behind a page and a JSON endpoint, for people beside it; needs the extra `serve`."""
