"""Measurements that stand in the documentation; run by hand, never by the tests."""
