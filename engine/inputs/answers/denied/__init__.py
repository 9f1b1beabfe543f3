"""Which labels are denied: by words before or behind them, by what they are called, by whose answer they are."""
