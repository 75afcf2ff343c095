"""Files on disks and at object stores, by path or URI, and locks. Nothing here knows what a run is."""
