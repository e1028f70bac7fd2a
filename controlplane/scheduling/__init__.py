"""Scheduling: the loops that turn commits into evaluations, and time into events. No decisions are made here."""
