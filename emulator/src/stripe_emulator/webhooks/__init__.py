"""Who is told of which event, and when; and the postman who carries it there."""
