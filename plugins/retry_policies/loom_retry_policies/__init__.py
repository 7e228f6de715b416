"""Plugin `retry_policies`: when a failed attempt is followed by another."""
