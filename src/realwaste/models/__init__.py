"""The networks: backbones, the CNN, a saved classifier and its predictions, exports."""
