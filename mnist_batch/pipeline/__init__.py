"""The two actors on Ray Data, and the audit of what they wrote."""
