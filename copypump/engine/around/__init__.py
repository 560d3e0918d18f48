"""What a run does around the load itself; each option a function that adds to the mode's Loading."""
