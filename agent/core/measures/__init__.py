"""What an order cost: formulae and the rows made of them. Pure; what they need is handed in."""
