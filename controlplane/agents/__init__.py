"""What faces the agents: registration, the ACS sessions, the reports. Nothing here decides what is to run."""
