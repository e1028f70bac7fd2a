"""Decisions, pure: `decide(view, subject, now, dice) -> Plan`. No clock, socket, log or database."""
