"""What the host is: its size, its identity, what it can do."""
