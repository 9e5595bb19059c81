"""Who may ask for what: keys, their scopes and limits. What keeps them is a protocol here, and SQL in `storage`."""
