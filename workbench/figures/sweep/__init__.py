"""What a sweep's search learned, from the run's journal."""
