"""The durable runtime: runner, context, journal, leases."""
