"""One thin module per command; nothing here imports torch before a command needs it."""
