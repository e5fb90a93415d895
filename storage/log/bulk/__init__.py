"""Many rows at once, as each database takes them fastest; what comes of it is that of an upsert of each."""
