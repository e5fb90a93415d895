"""What runs inside an order: weights, compiled kernels, decisions and their reasons."""
