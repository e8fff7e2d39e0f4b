"""Models that the workbench decodes with."""
