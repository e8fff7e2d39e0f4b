"""What only a GPU can settle, planned for a machine that is there for fifteen minutes."""
