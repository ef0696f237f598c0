"""What the chaos drill and the tests of checkpointing run and break."""
