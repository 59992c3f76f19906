"""The office: pages for staff. Each view says which Django permission it wants; being staff alone opens nothing."""
