"""A trained model: its architecture, its files, and what it answers."""
