"""Listing scans, attaching their labels, and cutting them into shards."""
