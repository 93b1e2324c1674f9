"""What borrowers read."""
