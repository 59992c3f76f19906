"""What a request and an answer look like: forms, parameters, routes, lists, search, idempotency keys."""
