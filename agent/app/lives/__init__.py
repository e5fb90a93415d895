"""Sessions whose process died: who may go on with one, and what it takes. Nothing here works an order."""
