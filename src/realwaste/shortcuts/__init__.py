"""Shortcuts (Geirhos et al., 2020): what tells the classes apart beside the objects, and whether models go by it."""
