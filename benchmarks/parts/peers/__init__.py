"""Other frameworks, PyTorch and ONNX Runtime, measured in turn with the pipeline's networks."""
