"""Nightly batch recognition of handwritten digits on a Ray cluster."""
