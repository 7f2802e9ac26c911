"""What predictions are worth: scores, calibration, cost, doubtful labels."""
