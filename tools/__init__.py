"""What people run beside the stages: named sets of parameters, the table of experiments, lists and pages for DVC."""
