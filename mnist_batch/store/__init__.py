"""Where things are kept: paths and URIs, object stores, locks. Nothing here knows what a run is."""
