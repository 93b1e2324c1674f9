"""Self-service pages of borrowers."""
