"""The pages and levers of the running server: what bank, payer and staff do, for people and as JSON."""
