"""The control plane: answers the ECS API, places tasks, talks to agents."""
