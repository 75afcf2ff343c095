"""One run on disk: found, frozen, staged, published, verified, withdrawn."""
