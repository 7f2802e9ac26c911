"""What predictions are worth: scores, intervals, calibration, label errors, background tests, Grad-CAM."""
