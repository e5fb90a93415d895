"""Raw captures of Binance, spot and futures."""
