"""The engines' second implementation, on a Ray cluster. Ray is imported here and nowhere else."""
