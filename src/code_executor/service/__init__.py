"""What a front is given: runs, sessions, rate limits and health, here or in another process."""
