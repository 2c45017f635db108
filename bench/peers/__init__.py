"""One script for each tool of bench/peers.py, run as a module in an environment of its own."""
