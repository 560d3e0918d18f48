"""One chunk's way: from the source, through decoder, transform and encoder, into the target."""
