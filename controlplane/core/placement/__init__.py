"""Placement: which instance takes a task, by whose ledger, and why none does."""
