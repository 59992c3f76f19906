"""SCA-ready Stripe payments for anything a Django site sells."""
