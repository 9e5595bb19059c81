"""The values and interfaces that every room speaks of."""
