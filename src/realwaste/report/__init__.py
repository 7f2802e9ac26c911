"""What a run shows: charts, tables, the report page, the comparison of two runs, model cards."""
