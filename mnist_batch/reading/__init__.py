"""A scan's file to its rows, in a process that may die of it."""
