"""Load balancing, carried out: a real proxy is kept as the records say, and what it finds is written down."""
