"""How the agent talks to its control plane: the ECS API, the ACS websocket, reports, the story."""
