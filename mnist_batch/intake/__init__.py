"""Which scans there are, what is said of them, and how they are cut into shards."""
