"""The command ``denodo-ha``: state and history of a pair for people and monitoring systems."""
