"""The collection `users`: accounts, the administrators' directory, and decisions stored in the account's
document.
"""
