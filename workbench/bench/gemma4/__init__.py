"""The decode model as an engine of the runner, and its arms token by token."""
