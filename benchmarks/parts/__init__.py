"""What the benchmarks are made of: jobs in processes of their own, workspaces, tables, and pages that hold them."""
