"""The store: snapshot, commit, watch. Every engine passes the same contract suite."""
