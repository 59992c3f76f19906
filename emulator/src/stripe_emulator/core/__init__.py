"""What everything stands on: the world and its tables, clock, ids, money, errors, faults. Knows no resource."""
