"""Doubtful labels on a page, one photograph after the other, and what a person decides of them into relabel.yaml."""
