"""The schemas of all tables and JSON files: every column, field and version, declared once."""
