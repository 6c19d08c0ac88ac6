"""Which configuration: spaces of choices, what they cost, and searches under limits."""
