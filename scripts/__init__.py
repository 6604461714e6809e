"""What `make` runs to check the machine, to set up the environment and to start the user interfaces."""
