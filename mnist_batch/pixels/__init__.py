"""From bytes to a 28x28 picture: array functions, without Ray, Arrow or a store."""
