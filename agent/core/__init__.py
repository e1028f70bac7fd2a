"""The agent's decisions, pure: `handle(event, now) -> instructions`. No clock, thread, socket, log or Docker."""
