"""What goes wrong, made to happen to real processes, and what must hold then: short in tests, long in `dev.py soak`."""
