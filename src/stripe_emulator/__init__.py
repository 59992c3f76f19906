"""A stateful stand-in for Stripe: its API, its webhooks and Stripe.js."""
