"""Parts of the benchmarks: jobs in separate processes, workspaces, tables, and the pages that contain them."""
