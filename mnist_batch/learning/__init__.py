"""How a model comes to be: digits in, a bundle out."""
