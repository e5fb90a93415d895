"""The model itself: layers, inputs, limits, objective, and the file that holds it. No bars from files."""
