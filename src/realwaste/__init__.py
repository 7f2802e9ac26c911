"""Waste photographs in, compared classifiers out. Typed values only: nothing here knows DVC or params.yaml."""
