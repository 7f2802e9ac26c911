"""Pictures, tables, the report page and the model cards."""
