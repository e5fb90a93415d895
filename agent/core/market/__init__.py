"""The market as integers: the tape and books on it, bars and features made of it. Nothing of an order."""
