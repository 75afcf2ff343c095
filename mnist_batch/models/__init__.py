"""A trained model: its architecture, its files, and its answers."""
