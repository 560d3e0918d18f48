"""What happens: the plan, the run that carries it out, the pipeline of one chunk, the report."""
