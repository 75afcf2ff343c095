"""Forms: what is printed where on a page, which form a page is of, its cells, and the numbers in its fields."""
