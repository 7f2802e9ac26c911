"""How TensorFlow and OpenVINO run here: device, precision, determinism, inference engine, resuming."""
