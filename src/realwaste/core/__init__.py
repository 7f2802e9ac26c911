"""What everything stands on, without TensorFlow: errors, the log, whole files, this machine."""
