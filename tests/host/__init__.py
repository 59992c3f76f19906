"""A host site's models that the shop does not have: other keys, other currencies."""
