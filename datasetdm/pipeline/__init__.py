"""The chain of stages over one benchmark."""
