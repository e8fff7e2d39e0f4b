"""The experts for few tokens, for weights in a quantised format."""
