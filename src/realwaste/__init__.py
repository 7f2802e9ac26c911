"""Waste photographs in, compared classifiers out. Typed values only: nothing here knows DVC or params.yaml."""

from realwaste.core import library_settings

library_settings.pin()  # before anything imports Keras: every entry comes through here, workers of Ray too
