"""From the file of a scan to its rows, in a process that a bad file may kill."""
