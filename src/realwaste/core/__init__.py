"""What everything stands on, without TensorFlow: errors, the log, files that are whole or absent, this machine."""
