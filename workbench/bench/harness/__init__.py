"""Multiple-choice suites by lm-evaluation-harness, on our model and local files."""
