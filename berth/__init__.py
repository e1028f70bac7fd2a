"""The command line: a development cluster on this machine, and the demonstration of the long job.

It starts the two programs as processes and talks to them over the wire, as any user of ECS would; of their code it
imports nothing but the pure cores that read the story.
"""
