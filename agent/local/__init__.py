"""What the agent answers on its own host: endpoints for its containers, introspection for people and tools."""
