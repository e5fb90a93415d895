"""The bars that the model is trained and evaluated on: simulated, or from files. No model, no orders."""
