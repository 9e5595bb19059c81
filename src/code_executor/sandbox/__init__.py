"""Where code runs: engines, sandboxes, and the pool that keeps them warm."""
