"""What the stock commands wrote: generated texts, logs, run folders."""
