"""SCA-ready Stripe payments for anything a Django site sells."""

__version__ = "0.1.0"
