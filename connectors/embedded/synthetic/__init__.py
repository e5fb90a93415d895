"""The synthetic market: tape rows by seed. It knows no server and no client."""
