"""Parent and child orders: their states, what bounds and risk allow. Nothing asks a market or a venue."""
