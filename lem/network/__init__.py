"""What the model is: layers, inputs, constraints, objective and the file that holds it."""
