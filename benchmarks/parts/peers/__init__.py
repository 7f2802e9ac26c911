"""What a user would pick instead, PyTorch and ONNX Runtime, measured in turn with the pipeline's own networks."""
