"""Verbs: everything that changes something. One file a subject.

Private: names here change without notice. What hosts need has a door: managers and models, `checkout.links`,
`checkout.logins`, `checkout.errors`, `checkout.testing`.
"""
