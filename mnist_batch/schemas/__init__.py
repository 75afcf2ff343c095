"""What the tables are: every column, status and version, declared once."""
