"""What people read after a run: documents made of records, as pages."""
