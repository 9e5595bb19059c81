"""The learning loop over HTTP, below ``/api/labs/v1``: `mount` adds it to a server of `code_executor`."""
