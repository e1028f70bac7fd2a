"""The container runtime behind one port: Docker's, and a scripted one that passes the same contract suite."""
