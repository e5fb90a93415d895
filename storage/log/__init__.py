"""The execution log: tables, their migrations, writing rows and asking for them."""
