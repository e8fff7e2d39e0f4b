"""What one trial is, tables of configs, the journal of a run, winners on disk."""
