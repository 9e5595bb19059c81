"""What outlives a request: jobs, and the webhooks that tell of their ends. What keeps them is a protocol here."""
