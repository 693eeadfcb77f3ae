"""Real server processes on one ledger, and the example application from end to end."""
