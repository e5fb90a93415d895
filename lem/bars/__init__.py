"""The bars that the model learns from and is judged on: simulated and real."""
