"""What shows that a stream is whole: ids, rates, stamps, prices, the clock. Judges only, no connections."""
