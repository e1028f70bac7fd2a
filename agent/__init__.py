"""The agent: manages the containers of one host, honours stop signals, reports what is true."""
