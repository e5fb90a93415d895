"""Getting to an exchange, and what one says that does not serve us: no stream, no market."""
