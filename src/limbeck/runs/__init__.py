"""A run: its options, folder, lock and processes, whatever it trains."""
