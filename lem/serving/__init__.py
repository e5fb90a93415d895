"""What runs inside an order: compiled inference, decisions and their reasons. No training, no evaluation."""
