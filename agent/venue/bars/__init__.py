"""The venue of a market of which only bars are known."""
