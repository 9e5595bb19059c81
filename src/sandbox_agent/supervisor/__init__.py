"""Process 1 of a sandbox: forks children, moves bytes without reading them, enforces limits, resets."""
