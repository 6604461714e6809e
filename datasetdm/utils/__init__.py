"""What every room needs: files, digests, seeds, devices, progress."""
