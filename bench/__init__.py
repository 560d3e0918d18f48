"""Side by side on the same rows in the same run: copypump, the raw pipe, and the peers."""
