"""What every package needs: errors, text, files, YAML, statistics."""
