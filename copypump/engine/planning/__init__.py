"""What a run will do: found out, checked and told before the first byte moves."""
