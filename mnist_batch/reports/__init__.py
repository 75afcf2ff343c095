"""What the rows of a run add up to: tables, pictures and the page."""
