"""What `realwaste predict` does: photographs in, answers out as a table, JSON, CSV, copies and overlays."""
