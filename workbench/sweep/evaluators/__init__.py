"""What takes candidates to trials: modelled, ranked, timed or replayed."""
